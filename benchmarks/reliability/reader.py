"""What a reader of damaged files is, and what the makers of valid files share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SECONDS = 20.0  # for one input; after that a reader counts as stuck


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        name: of the kind of file.
        make: writes a valid file into a folder; its path.
        read: what the reader makes of a file, as text or bytes that can be compared.
        place: what a refusal must name: the file, or the option.
        accept: whether a changed file may be read with another result: a second opinion on file and result. Where a file has a
            checksum, or is our own, no other result is right.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    place: str
    accept: Callable[[Path, Any], bool] = lambda _, __: False


def draw() -> np.random.Generator:
    """The same random numbers each time."""
    return np.random.default_rng(0)


def write_text(file: Path, text: str) -> Path:
    """The file, after the text was written to it."""
    file.write_text(text)
    return file

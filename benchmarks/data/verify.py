"""Is a copy of a data set whole? Its counts against the published ones, and every frame decoded once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from baselines.errors import UserError
from benchmarks.data.dataset import Dataset
from benchmarks.data.stores import Store
from benchmarks.data.table import statistics

BLOCK = 1024  # frames between two reports of progress


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    kind: `count` (subject: subset and quantity), or `missing`, `empty` or `unreadable` (subject: the frame).
    """

    kind: Literal["count", "missing", "empty", "unreadable"]
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


def verify(
    dataset: Dataset,
    root: Path,
    table: pd.DataFrame,
    store: Store,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> list[Finding]:
    """All that differs from the published data set: counts first, then frames in the order of the table.

    Every frame is read and decoded once, on all cores.

    Args:
        dataset: its `published` counts are compared with those of `table`.
        root: where the data set lies; findings name frames by their place below it.
        table: the tracklets, as `dataset.read` gave them.
        store: the frames' bytes.
        progress: called with (frames done, frames in all) as the work goes on.
    """
    counted = statistics(table)
    findings = [
        Finding("count", f"{subset} {quantity}", f"{counted[subset][quantity]:,} found, {expected:,} published")
        for subset, quantities in dataset.published.items()
        for quantity, expected in quantities.items()
        if counted[subset][quantity] != expected
    ]
    names = list(dict.fromkeys(chain.from_iterable(table.frames)))
    with ThreadPoolExecutor() as pool:  # reading and both decoders release the interpreter's lock
        for start in range(0, len(names), BLOCK):
            block = names[start : start + BLOCK]
            findings += filter(None, pool.map(lambda name: _problem(root, name, store), block))
            progress(start + len(block), len(names))
    return findings


def _problem(root: Path, name: str, store: Store) -> Finding | None:
    """What is wrong with one frame."""
    subject = str(root / name)
    try:
        data = np.frombuffer(store.read(name), np.uint8)
    except UserError as error:
        if store.sizes([name]):
            return Finding("unreadable", subject, str(error.__cause__ or error))
        return Finding("missing", subject, "missing")
    if len(data) == 0:
        return Finding("empty", subject, "an empty file")
    try:
        if data[:2].tobytes() == b"\xff\xd8":
            simplejpeg.decode_jpeg(data)  # strict: refuses what is damaged within, which OpenCV fills with grey
        elif cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
            raise ValueError("neither JPEG nor PNG, or cut short")
    except (ValueError, cv2.error) as error:
        return Finding("unreadable", subject, f"cannot be decoded ({error})")
    return None

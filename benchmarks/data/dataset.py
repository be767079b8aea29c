"""What a data set is, and how one is found, indexed once, and loaded.

A data set is one short file in this folder: a subclass of `Dataset` with the facts (folders, published counts,
protocols) and `read`. What they share stands here.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from baselines.interface.errors import UserError

from .table import make_table

IMAGES = (".jpg", ".jpeg", ".png")
Fault = tuple[Path, str]  # a file or folder, and what is wrong with it


class StructureError(UserError):
    """What lies below a root is not built as the data set is. Readers note each fault and read on; this ends them.

    Attributes:
        faults: every fault found; the message tells the first and how many there are.
        table: the tracklets that are sound: enough for `bench data verify` to go on with, and for nothing else.
    """

    def __init__(self, faults: list[Fault], table: pd.DataFrame) -> None:
        place, problem = faults[0]
        more = f" (and {len(faults) - 1:,} more: `bench data verify` lists them)" if len(faults) > 1 else ""
        super().__init__(f"{place}: {problem}{more}")
        self.faults, self.table = faults, table


class Dataset(ABC):
    """One data set: its facts, and how its folders become a table of tracklets.

    Class attributes:
        protocols: names of evaluation protocols that make sense here (see `evaluation.PROTOCOLS`); the first is shown.
        splits: how many train/test splits the data set defines; `--split` is 0 to splits - 1.
        recipe: the recipe used unless another is named.
        folder: the name of its folder below BENCH_DATA.
        layout: what the root must hold, one line, for the error message of a missing root.
        source: where to get it.
        published: counts of the files as published: subset -> {identities, tracklets, cameras, frames, ...}, the keys
            of `table.statistics`, given where they are known.
        test_identities: people of query and gallery together, as published.
        distractors: how many of them are in the gallery alone, and counted apart in the literature.
        tables: files below the root that say who is in which subset; a change of one makes the data set be read again.
        frame_name: what the whole file name of a frame looks like; the group `frame` is its number, which goes up by 1
            within a tracklet from any start. None where names do not say what lies between two frames.
        frame_example: such a name, for error messages.
    """

    protocols: ClassVar[tuple[str, ...]]
    splits: ClassVar[int] = 1
    recipe: ClassVar[str] = "small"
    folder: ClassVar[str]
    layout: ClassVar[str]
    source: ClassVar[str]
    published: ClassVar[dict[str, dict[str, int]]] = {}
    test_identities: ClassVar[int | None] = None
    distractors: ClassVar[int] = 0
    tables: ClassVar[tuple[str, ...]] = ()
    frame_name: ClassVar[re.Pattern[str] | None] = None
    frame_example: ClassVar[str]

    @abstractmethod
    def read(self, root: Path, split: int) -> pd.DataFrame:
        """The table of tracklets (see `table`) of one split, from the folders below `root`.

        Raises:
            StructureError: the structure is not the expected one; the error holds every fault found (see `sound`).
            UserError: a file that all else depends on cannot be read.
        """

    def notes(self, table: pd.DataFrame) -> list[str]:  # noqa: ARG002 - for subclasses
        """Observations that a user should see with `bench data stats` and `verify`; none by default."""
        return []


def sound(rows: list[tuple[str, int, int, str, list[str]]], faults: list[Fault]) -> pd.DataFrame:
    """The table of `rows`, if reading them met no faults.

    Raises:
        StructureError: it did.
    """
    table = make_table(rows)
    if faults:
        raise StructureError(faults, table)
    return table


def missing(root: Path, parts: Sequence[str], dataset: Dataset) -> list[Fault]:
    """A fault for each of `parts` that is not there below `root`; it says how the root must look."""
    problem = f"not found; the root must hold {dataset.layout} ({dataset.source})"
    return [(root / part, problem) for part in parts if not (root / part).exists()]


def require(root: Path, parts: Sequence[str], dataset: Dataset) -> None:
    """Raise a `StructureError` with all of `parts` that are missing below `root`, where nothing can be read without them."""
    if faults := missing(root, parts, dataset):
        raise StructureError(faults, make_table([]))


def subfolders(folder: Path, what: str, faults: list[Fault]) -> list[str]:
    """Names of the folders in `folder`, sorted. What cannot be read, or holds none, is noted in `faults`; `what` they are."""
    return _names(folder, lambda entry: entry.is_dir(), what, faults)


def _names(folder: Path, wanted: Callable[[os.DirEntry[str]], bool], what: str, faults: list[Fault]) -> list[str]:
    """Sorted, because a directory listing has no order of its own."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if wanted(entry))
    except OSError as error:
        faults.append((folder, error.strerror or str(error)))
        return []
    if not names:
        faults.append((folder, f"holds no {what}"))
    return names


def numbered(folder: Path, dataset: Dataset, faults: list[Fault]) -> list[str]:
    """Names of the frames in `folder` in the order of the numbers in them; what is not so named is noted in `faults`."""
    assert dataset.frame_name is not None
    names = _names(folder, lambda entry: entry.name.lower().endswith(IMAGES), "frames", faults)
    matches = {name: dataset.frame_name.fullmatch(name) for name in names}
    faults += [(folder / name, f"not named as {dataset.frame_example}") for name in names if matches[name] is None]
    return [name for _, name in sorted((int(match["frame"]), name) for name, match in matches.items() if match)]


def matlab(file: Path, variable: str) -> np.ndarray:
    """One variable of a MATLAB file as int64: such files hold whole numbers as float64 or as small unsigned integers,
    whose differences wrap around."""
    from scipy.io import loadmat  # here: to import it takes as long as many a verb

    content = BytesIO(file.read_bytes())  # here: one that cannot be opened says so itself
    try:
        return loadmat(content)[variable].astype(np.int64)
    except KeyError:
        raise UserError(f"{file}: holds no variable {variable!r}; take the file of the original archive") from None
    except Exception as error:  # a damaged file fails in a dozen ways, from zlib to struct
        raise UserError(f"{file}: not a readable MATLAB file ({error}); take it from the original archive") from error


class TwoCameras(Dataset):
    """A data set with one tracklet a person in each of two cameras, in folders named `person` and the pid.

    Of a test person, `cameras[0]/<person>/*` is the query and `cameras[1]/<person>/*` the gallery; a training person
    gives both.
    """

    protocols = ("standard",)
    splits = 10
    cameras: ClassVar[tuple[str, str]]

    @abstractmethod
    def persons(self, root: Path, split: int) -> tuple[list[str], list[str]]:
        """The folders' names of the persons for training and of those for test.

        Raises:
            UserError: the file of the splits is damaged or belongs to other folders.
        """

    def read(self, root: Path, split: int) -> pd.DataFrame:
        require(root, [*self.cameras, *self.tables], self)
        train, test = self.persons(root, split)
        rows, faults = [], []
        for persons, subsets in ((train, ("train", "train")), (test, ("query", "gallery"))):
            for camid, (camera, subset) in enumerate(zip(self.cameras, subsets, strict=True), start=1):
                for person in persons:
                    folder = f"{camera}/{person}"
                    pid = re.fullmatch(r"person_?(\d+)", person)
                    if pid is None:
                        faults.append((root / folder, "not named as person001 or person_0001"))
                    elif absent := missing(root, [folder], self):
                        faults += absent
                    elif frames := numbered(root / folder, self, faults):
                        paths = [f"{folder}/{name}" for name in frames]
                        rows.append((subset, int(pid[1]), camid, f"{person}C{camid}", paths))
        return sound(rows, faults)


def halves(persons: int) -> dict[str, dict[str, int]]:
    """What is published of a split of `TwoCameras`: as many `persons` for training as for test."""
    return {
        "train": {"identities": persons, "tracklets": 2 * persons, "cameras": 2},
        "query": {"identities": persons, "tracklets": persons, "cameras": 1},
        "gallery": {"identities": persons, "tracklets": persons, "cameras": 1},
    }

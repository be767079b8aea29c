"""The base class of data sets, and what their readers share.

A data set is one file in datasets/: a subclass of `Dataset` with the facts (folders, published counts, protocols) and `read`.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from baselines.interface.errors import UserError

from . import Progress, attributes, no_progress
from .table import TABLE, make_table, read_table, statistics

IMAGES = (".jpg", ".jpeg", ".png")
NOT_PUBLISHED = "not the published counts"  # what tables call a data set whose counts differ from the published ones
Fault = tuple[Path, str]  # a file or folder, and what is wrong with it


class StructureError(UserError):
    """A root does not have the structure of the data set. Readers collect all faults before they raise it.

    Attributes:
        faults: every fault found. The message gives the first one and how many there are.
        table: the tracklets without faults. Only `bench data verify` may use them.
    """

    def __init__(self, faults: list[Fault], table: pd.DataFrame) -> None:
        path, problem = faults[0]
        more = f" (and {len(faults) - 1:,} more: `bench data verify` lists them)" if len(faults) > 1 else ""
        super().__init__(f"{path}: {problem}{more}")
        self.faults, self.table = faults, table


class Dataset(ABC):
    """One data set: its facts, and how its folders become a table of tracklets.

    Class attributes:
        protocols: names of the evaluation protocols that suit it (see `evaluation.PROTOCOLS`); tables show the first.
        splits: how many train/test splits it defines; `--split` is 0 to splits - 1.
        note: a caution that every table of its results prints, such as "line drawings"; on one line.
        overlapping: whether persons and frames may be both in train and in the test. Otherwise that is an error, because results
            would say nothing about new persons.
        features_only: why no run can use the data set, only `bench features`; empty if runs can.
        recipe: the recipe used unless the user names another.
        folder: the name of its folder in BENCH_DATA.
        layout: what that folder must contain, on one line, for error messages.
        source: where to get it.
        published: counts of the published files: subset -> {identities, tracklets, cameras, frames, ...}, with the keys of
            `table.statistics`, as far as they are known.
        test_identities: people of query and gallery together, as published.
        distractors: how many of them are in the gallery only and are counted separately in the literature.
        tables: files in the folder that define the subsets; the data set is read again when one of them changes.
        frame_name: pattern of a frame's whole file name. Its group `frame` is the frame's number, which increases by 1
            within a tracklet and may start anywhere. None where names do not show gaps.
        frame_example: such a name, for error messages.
    """

    protocols: ClassVar[tuple[str, ...]]
    splits: int = 1
    note: str = ""
    overlapping: ClassVar[bool] = False
    features_only: str = ""
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

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The data set of a full name, which is the registered name except for drawn data sets.

        Raises:
            UserError: the name has parts that this data set does not take.
        """
        if "@" in name or ":" in name:
            raise UserError(f"no data set {name!r}; only drawn data sets take '@' and ':' in their names")
        return cls()

    @abstractmethod
    def read(self, root: Path, split: int) -> pd.DataFrame:
        """The table of tracklets (see `table`) of one split, from the folders in `root`.

        Raises:
            StructureError: the structure is not the expected one; the error holds every fault (see `make_table_or_raise`).
            UserError: a file that all the others depend on cannot be read.
        """

    def attributes(self, root: Path, pids: Sequence[int]) -> pd.DataFrame | None:  # noqa: ARG002 - for drawn people
        """What is known of people (see `attributes.read_attributes`): by default from a file in `root`; None without it.

        Args:
            pids: those of whom it is asked; a table may have more people, or fewer.

        Raises:
            UserError: the file is not such a table.
        """
        file = root / attributes.FILE
        return attributes.read_attributes(file) if file.exists() else None

    def count_differences(self, table: pd.DataFrame) -> dict[str, str]:
        """What was counted and what was published, by subset and quantity, where they differ."""
        counts = statistics(table)
        return {
            f"{subset} {quantity}": f"{counts[subset][quantity]:,} found, {expected:,} published"
            for subset, quantities in self.published.items()
            for quantity, expected in quantities.items()
            if counts[subset][quantity] != expected
        }

    def notes(self, table: pd.DataFrame) -> list[str]:  # noqa: ARG002 - for subclasses
        """Observations that `bench data stats` and `verify` print; none by default."""
        return []


class PackedDataset(Dataset):
    """A data set that comes packed, in a folder of BENCH_CACHE with TABLE and PACK: an imported or drawn data set."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The full name. Of several names with the same meaning it is the shortest."""

    @property
    @abstractmethod
    def cache_folder(self) -> Path:
        """Its folder in BENCH_CACHE."""

    def make(self, progress: Progress = no_progress) -> None:
        """Fill the folder if it is missing. By default it is expected to exist."""

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - there is one split
        return read_table(root / TABLE)


def make_table_or_raise(rows: list[tuple[str, int, int, str, list[str]]], faults: list[Fault]) -> pd.DataFrame:
    """The table of `rows`, unless there are faults.

    Raises:
        StructureError: there are.
    """
    table = make_table(rows)
    if faults:
        raise StructureError(faults, table)
    return table


def missing_parts(root: Path, parts: Sequence[str], dataset: Dataset) -> list[Fault]:
    """A fault for each of `parts` that does not exist in `root`. It says what the root must contain."""
    problem = f"not found; the root must hold {dataset.layout} (source: {dataset.source})"
    return [(root / part, problem) for part in parts if not (root / part).exists()]


def require_parts(root: Path, parts: Sequence[str], dataset: Dataset) -> None:
    """Raise a `StructureError` with all `parts` that `root` lacks, where nothing can be read without them."""
    if faults := missing_parts(root, parts, dataset):
        raise StructureError(faults, make_table([]))


def subfolders(folder: Path, kind: str, faults: list[Fault]) -> list[str]:
    """Names of the folders in `folder`, sorted. Adds a fault if it cannot be read or has none; `kind` says what they are."""
    return _sorted_names(folder, lambda entry: entry.is_dir(), kind, faults)


def _sorted_names(
    folder: Path, wanted: Callable[[os.DirEntry[str]], bool], kind: str, faults: list[Fault]
) -> list[str]:
    """Sorted, because a directory listing has no defined order."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if wanted(entry))
    except OSError as error:
        faults.append((folder, error.strerror or str(error)))
        return []
    if not names:
        faults.append((folder, f"holds no {kind}"))
    return names


def numbered_frames(folder: Path, dataset: Dataset, faults: list[Fault]) -> list[str]:
    """File names of the frames in `folder`, by their numbers. Adds a fault for each name that does not match."""
    assert dataset.frame_name is not None
    names = _sorted_names(folder, lambda entry: entry.name.lower().endswith(IMAGES), "frames", faults)
    matches = {name: dataset.frame_name.fullmatch(name) for name in names}
    faults += [(folder / name, f"not named as {dataset.frame_example}") for name in names if matches[name] is None]
    return [name for _, name in sorted((int(match["frame"]), name) for name, match in matches.items() if match)]


class TwoCameraDataset(Dataset):
    """A data set with one tracklet per person in each of two cameras, in folders named `person` and the pid.

    Of a test person, `cameras[0]/<person>/*` is the query and `cameras[1]/<person>/*` the gallery. Of a training person, both
    are for training.
    """

    protocols = ("standard",)
    splits = 10
    cameras: ClassVar[tuple[str, str]]

    @abstractmethod
    def persons(self, root: Path, split: int) -> tuple[list[str], list[str]]:
        """The folder names of the training persons and of the test persons.

        Raises:
            UserError: the file of the splits is damaged or does not fit the folders.
        """

    def read(self, root: Path, split: int) -> pd.DataFrame:
        require_parts(root, [*self.cameras, *self.tables], self)
        train, test = self.persons(root, split)
        rows, faults = [], []
        for persons, subsets in ((train, ("train", "train")), (test, ("query", "gallery"))):
            for camid, (camera, subset) in enumerate(zip(self.cameras, subsets, strict=True), start=1):
                for person in persons:
                    folder = f"{camera}/{person}"
                    pid = re.fullmatch(r"person_?(\d+)", person)
                    if pid is None:
                        faults.append((root / folder, "not named as person001 or person_0001"))
                    elif missing := missing_parts(root, [folder], self):
                        faults += missing
                    elif frames := numbered_frames(root / folder, self, faults):
                        paths = [f"{folder}/{name}" for name in frames]
                        rows.append((subset, int(pid[1]), camid, f"{person}C{camid}", paths))
        return make_table_or_raise(rows, faults)


def two_camera_counts(persons: int) -> dict[str, dict[str, int]]:
    """The published counts of a `TwoCameraDataset` split with `persons` for training and as many for test."""
    return {
        "train": {"identities": persons, "tracklets": 2 * persons, "cameras": 2},
        "query": {"identities": persons, "tracklets": persons, "cameras": 1},
        "gallery": {"identities": persons, "tracklets": persons, "cameras": 1},
    }

"""What a data set is, and how one is found, indexed once, and loaded.

A data set is one short file in this folder: a subclass of `Dataset` with the facts (folders, published counts,
protocols) and `read`. What they share stands here.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import scipy.io

from baselines.errors import UserError
from benchmarks.data.table import make_table

IMAGES = (".jpg", ".jpeg", ".png")


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
        tables: files below the root that say who is in which subset; a change of one makes the data set be read again.
    """

    protocols: ClassVar[tuple[str, ...]]
    splits: ClassVar[int] = 1
    recipe: ClassVar[str] = "small"
    folder: ClassVar[str]
    layout: ClassVar[str]
    source: ClassVar[str]
    published: ClassVar[dict[str, dict[str, int]]] = {}
    tables: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, root: Path, split: int) -> pd.DataFrame:
        """The table of tracklets (see `table`) of one split, from the folders below `root`.

        Raises:
            UserError: the structure is not the expected one; the message names the file or folder.
        """

    def notes(self, table: pd.DataFrame) -> list[str]:  # noqa: ARG002 - for subclasses
        """Observations that a user should see with `bench data stats` and `verify`; none by default."""
        return []


def require(root: Path, parts: Sequence[str], dataset: type[Dataset] | Dataset) -> None:
    """Raise a UserError that names the first of `parts` missing below `root` and says how the root must look."""
    for part in parts:
        if not (root / part).exists():
            raise UserError(f"{root / part}: not found; the root must hold {dataset.layout} ({dataset.source})")


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted: a directory listing has no order of its own."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def images(folder: Path) -> list[str]:
    """Names of the image files in `folder`, sorted: the order of time, which a directory listing does not keep."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.lower().endswith(IMAGES))


def matlab(file: Path, variable: str) -> np.ndarray:
    """One variable of a MATLAB file as int64: such files hold whole numbers as float64 or as small unsigned integers,
    whose differences wrap around."""
    try:
        return scipy.io.loadmat(file)[variable].astype(np.int64)
    except KeyError:
        raise UserError(f"{file}: holds no variable {variable!r}; take the file of the original archive") from None
    except Exception as error:  # a damaged file fails in a dozen ways, from zlib to struct
        raise UserError(f"{file}: not a readable MATLAB file ({error}); take it from the original archive") from error


def two_cameras(
    dataset: Dataset, root: Path, folders: Sequence[str], train: list[str], test: list[str]
) -> pd.DataFrame:
    """The table of a data set that keeps one tracklet a person in each of two cameras: `folders[0]/<person>/*` is the
    query and `folders[1]/<person>/*` the gallery of a test person; a training person gives both.

    A person's folder is named `person` and the pid.

    Raises:
        UserError: a person's folder is not there or is named otherwise.
    """
    rows = []
    for persons, subsets in ((train, ("train", "train")), (test, ("query", "gallery"))):
        for camid, (folder, subset) in enumerate(zip(folders, subsets, strict=True), start=1):
            for person in persons:
                require(root, [f"{folder}/{person}"], dataset)
                pid = re.fullmatch(r"person_?(\d+)", person)
                if pid is None:
                    raise UserError(f"{root / folder / person}: not named as person001 or person_0001")
                frames = [f"{folder}/{person}/{name}" for name in images(root / folder / person)]
                rows.append((subset, int(pid[1]), camid, f"{person}C{camid}", frames))
    return make_table(rows)

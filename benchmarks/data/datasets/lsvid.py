"""LS-VID (Li et al., ICCV 2019), from its lists of tracklets and the numbers of its queries."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.data.dataset import IMAGES, Dataset, Fault, StructureError, make_table_or_raise
from benchmarks.data.table import make_table

# Copies differ in the folders of the lists and of the queries.
LISTS = ("list_sequence", "info/list_sequence")
QUERIES = ("test/data/info_{}.mat", "info/data/info_{}.mat", "test/query.npy", "info/query.npy")
NAME = re.compile(r"[^_]*_[^_]*_(?P<camera>\d+)_[^_]*\.\w+")


class _LSVid(Dataset):
    """What both evaluations share.

    Class attributes:
        tested: the list and the folder that are evaluated: test or val.
    """

    # The code of the papers tests with the queries in the gallery.
    protocols = ("full", "standard")
    recipe = "paper"
    folder = "LS-VID"
    source = "by a signed release agreement with its authors"
    tested: ClassVar[str]

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - one split
        lists = [
            self._first(root, [f"{folder}/list_seq_{part}.txt" for folder in LISTS]) for part in ("train", self.tested)
        ]
        numbers = self._first(root, [each.format(self.tested) for each in self._queries()])
        rows: list[tuple[str, int, int, str, list[str]]] = []
        faults: list[Fault] = []
        train, test = (_read_list(each, faults) for each in lists)
        queries = set(_read_queries(numbers).tolist())
        faults += [
            (numbers, f"query {number} is not one of the {len(test)} lines of {lists[1].name}")
            for number in sorted(queries)
            if not 1 <= number <= len(test)
        ]
        subsets = ["query" if number in queries else "gallery" for number in range(1, len(test) + 1)]
        names = cache(_image_names)
        for subset, (prefix, pid) in zip([*["train"] * len(train), *subsets], train + test, strict=True):
            folder, _, beginning = prefix.rpartition("/")
            frames = _frames(names(root / folder), beginning)
            cameras = {match["camera"] if (match := NAME.fullmatch(frame)) else "" for frame in frames}
            if len(cameras) != 1 or "" in cameras:
                problem = f"frames of {len(cameras)} cameras" if frames else "has no frames"
                faults.append(
                    (root / prefix, f"{problem}; expected {beginning}_FRAME.jpg, with the camera as third part")
                )
            else:
                paths = [f"{folder}/{frame}" for frame in frames]
                rows.append((subset, pid, int(cameras.pop()), prefix, paths))
        return make_table_or_raise(rows, faults)

    @classmethod
    def _queries(cls) -> Iterable[str]:
        """The files that may hold the queries; query.npy holds those of the test."""
        return QUERIES if cls.tested == "test" else QUERIES[:2]

    def _first(self, root: Path, parts: list[str]) -> Path:
        """The first of the files that exists.

        Raises:
            StructureError: none does.
        """
        found = [root / part for part in parts if (root / part).exists()]
        if not found:
            problem = (
                f"not found, and neither is {' or '.join(parts[1:])}; the root must hold {self.layout} ({self.source})"
            )
            raise StructureError([(root / parts[0], problem)], make_table([]))
        return found[0]


def _layout(tested: str) -> str:
    queries = "test/data/info_test.mat or test/query.npy" if tested == "test" else "test/data/info_val.mat"
    return f"tracklet_train/, tracklet_{tested}/, list_sequence/list_seq_train.txt, list_seq_{tested}.txt and {queries}"


def _tables(tested: str) -> tuple[str, ...]:
    lists = tuple(f"{folder}/list_seq_{part}.txt" for folder in LISTS for part in ("train", tested))
    return (*lists, *(each.format(tested) for each in QUERIES))


@register("lsvid")
class LSVid(_LSVid):
    """3,772 people in 15 cameras indoors and outdoors, 14,943 long tracklets from a detector."""

    tested = "test"
    layout = _layout("test")
    tables = _tables("test")
    test_identities = 2730
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 842, "tracklets": 2831},
        "query": {"tracklets": 3504},
        "gallery": {"tracklets": 7829},
    }


@register("lsvid-val")
class LSVidVal(_LSVid):
    """LS-VID, tested on its 200 people for validation, to choose settings without the test set."""

    tested = "val"
    layout = _layout("val")
    tables = _tables("val")
    test_identities = 200
    published: ClassVar[dict[str, dict[str, int]]] = {"train": {"identities": 842, "tracklets": 2831}}


def _read_list(file: Path, faults: list[Fault]) -> list[tuple[str, int]]:
    """The beginning of the frames' paths and the person of each line. A malformed line is a fault, and has no frames."""
    tracklets = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = re.fullmatch(r"(\S+)[\s,]+(\d+)\s*", line)
        if match is None:
            faults.append((file, f"line {number}: expected the beginning of a path, and a person's number"))
        tracklets.append((match[1].rstrip(","), int(match[2])) if match else ("", 0))
    return tracklets


def _image_names(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if file.name.lower().endswith(IMAGES))
    except OSError:
        return []


def _frames(names: list[str], beginning: str) -> list[str]:
    """The frames whose names begin so, in the order of time. 12_1 is not the beginning of 12_10_3_1.jpg."""
    begins = re.compile(re.escape(beginning) + (r"(?!\d).*" if beginning[-1:].isdigit() else ".*"))
    return sorted(filter(begins.fullmatch, names), key=lambda name: (len(name), name))


def _read_queries(file: Path) -> np.ndarray:
    """The numbers of the queries, from 1, in the list of the test.

    Raises:
        UserError: the file is damaged, or is a MATLAB file and the package h5py is not installed.
    """
    try:
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False).astype(np.int64).ravel()
        import h5py

        with h5py.File(file, "r") as variables:
            return np.asarray(variables["query"]).astype(np.int64).ravel()
    except ImportError:
        raise UserError(
            f"{file}: reading it needs the package h5py: pip install 'afa-bench[lsvid]', or h5py alone"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{file}: holds no readable numbers of queries ({error}); take it from the original archive"
        ) from error

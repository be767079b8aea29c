"""MARS (Zheng et al., ECCV 2016), from the lists and tables in its `info` folder."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from baselines.interface.registry import register
from benchmarks.data.dataset import Dataset, Fault, make_table_or_raise, require_parts
from benchmarks.data.matlab import read_matlab
from benchmarks.data.table import JUNK

INFO = (
    "info/train_name.txt",
    "info/test_name.txt",
    "info/tracks_train_info.mat",
    "info/tracks_test_info.mat",
    "info/query_IDX.mat",
)


@register("mars")
class Mars(Dataset):
    """1,259 people in 6 cameras, 20,478 tracklets from a detector and a tracker, with distractors and junk."""

    protocols = ("official", "standard", "full")
    recipe = "mars"
    folder = "mars"
    tables = INFO
    layout = "bbox_train/, bbox_test/ and info/ (train_name.txt, test_name.txt, tracks_*_info.mat, query_IDX.mat)"
    source = "the authors' project page and their MARS-evaluation repository"
    # As counted from the files. The paper's Table 1 has 20,715 sequences, and 1,261 identities because it counts the labels of
    # junk and distractors. Distractors here: 3,248 tracklets of pid 0 and 16 of people without a query.
    test_identities = 634
    published: ClassVar[dict[str, dict[str, int]]] = {
        "train": {"identities": 625, "tracklets": 8298, "cameras": 6, "frames": 509_914, "shortest": 5, "longest": 900},
        "query": {"identities": 626, "tracklets": 1980, "cameras": 6, "frames": 114_493, "shortest": 2, "longest": 880},
        "gallery": {
            "identities": 621,
            "tracklets": 10_200,
            "cameras": 6,
            "frames": 566_596,
            "shortest": 3,
            "longest": 920,
            "junk": 870,
            "distractors": 3264,
        },
    }

    # No `frame_name`: the lists name every frame, so that a missing one is found by its name.

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - MARS has one split
        require_parts(root, ["bbox_train", "bbox_test", *INFO], self)
        files = [root / part for part in INFO]
        train_names, test_names = (file.read_text(encoding="utf-8").split() for file in files[:2])
        train, test = read_matlab(files[2], "track_train_info"), read_matlab(files[3], "track_test_info")
        query = read_matlab(files[4], "query_IDX").ravel()
        return mars_table(train_names, test_names, train, test, query, root / "info")


def mars_table(
    train_names: list[str],
    test_names: list[str],
    train: np.ndarray,
    test: np.ndarray,
    query: np.ndarray,
    source: Path = Path("info"),
) -> pd.DataFrame:
    """The table of tracklets from the contents of MARS's `info` folder.

    Args:
        train_names, test_names: every frame's file name, from train_name.txt and test_name.txt.
        train, test: (N, 4), one tracklet per row: first and last frame (1-based and inclusive, in the names), pid, camid.
        query: the rows of `test` (from 1) that are queries. Its other rows, including junk (pid -1), are the gallery.
        source: the folder of these files, for error messages.

    Raises:
        StructureError: names and rows do not match.
    """
    in_range = (query >= 1) & (query <= len(test))
    faults: list[Fault] = [
        (source / "query_IDX.mat", f"row {row} is not one of the {len(test)} in tracks_test_info.mat")
        for row in query[~in_range]
    ]
    subsets = ["gallery"] * len(test)
    for row in query[in_range]:
        subsets[row - 1] = "query"
    rows = _tracklets("train", ["train"] * len(train), train_names, train, source, faults)
    rows += _tracklets("test", subsets, test_names, test, source, faults)
    return make_table_or_raise(rows, faults)


def _tracklets(
    half: str, subsets: list[str], names: list[str], info: np.ndarray, source: Path, faults: list[Fault]
) -> list[tuple[str, int, int, str, list[str]]]:
    """A row of the table for each row of `info`, with the frames sorted by their numbers."""
    file = source / f"{half}_name.txt"
    if info[:, 1].max() != len(names):
        problem = f"{len(names)} names, but tracks_{half}_info.mat goes to {info[:, 1].max()}"
        faults.append((file, f"{problem}; take both from the same release"))
        return []
    rows = []
    for subset, (first, last, pid, camid) in zip(subsets, info.tolist(), strict=True):
        frames = names[first - 1 : last]
        folder = "00-1" if pid == JUNK else f"{pid:04d}"
        tracklets = {frame.rpartition("F")[0] for frame in frames}
        tracklet = min(tracklets, default="")
        if len(tracklets) != 1 or not tracklet.startswith(f"{folder}C{camid}T"):
            problem = f"lines {first} to {last} are not one tracklet of person {pid} in camera {camid}"
            faults.append((file, f"{problem}, as tracks_{half}_info.mat says; take both from the same release"))
            continue
        paths = [f"bbox_{half}/{folder}/{frame}" for frame in sorted(frames, key=_frame_number)]
        rows.append((subset, pid, camid, tracklet, paths))
    return rows


def _frame_number(name: str) -> int:
    """12 from `0001C1T0001F012.jpg`."""
    return int(name.rpartition("F")[2].partition(".")[0])

"""MARS (Zheng et al., ECCV 2016), by the lists and tables in its `info` folder."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from baselines.errors import UserError
from baselines.registry import register
from benchmarks.data.dataset import Dataset, matlab, require
from benchmarks.data.table import JUNK, make_table

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
    # As counted from the files. The paper's Table 1 has 20,715 sequences, and 1,261 identities with the labels of junk
    # and distractors. Distractors here: 3,248 tracklets of pid 0 and 16 of people whom no query shows.
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

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - MARS has one split
        require(root, ["bbox_train", "bbox_test", *INFO], self)
        files = [root / part for part in INFO]
        train_names, test_names = (file.read_text(encoding="utf-8").split() for file in files[:2])
        train, test = matlab(files[2], "track_train_info"), matlab(files[3], "track_test_info")
        query = matlab(files[4], "query_IDX").ravel()
        return mars_table(train_names, test_names, train, test, query, str(root / "info"))


def mars_table(
    train_names: list[str],
    test_names: list[str],
    train: np.ndarray,
    test: np.ndarray,
    query: np.ndarray,
    source: str = "info",
) -> pd.DataFrame:
    """The table of tracklets from the contents of MARS's `info` folder.

    Args:
        train_names, test_names: every frame's file name, as train_name.txt and test_name.txt list them.
        train, test: (N, 4), a tracklet a row: first and last frame (1-based, inclusive, into the names), pid, camid.
        query: 1-based rows of `test` that are queries; its other rows, junk (pid -1) among them, are the gallery.
        source: where these come from, for error messages.

    Raises:
        UserError: names and rows do not belong together.
    """
    outside = query[(query < 1) | (query > len(test))]
    if len(outside):
        raise UserError(
            f"{source}/query_IDX.mat: row {outside[0]} is not one of the {len(test)} in tracks_test_info.mat"
        )
    is_query = np.zeros(len(test), bool)
    is_query[query - 1] = True
    rows = [("train", *tracklet) for tracklet in _tracklets("train", train_names, train, source)]
    test_rows = _tracklets("test", test_names, test, source)
    rows += [("query" if asked else "gallery", *tracklet) for asked, tracklet in zip(is_query, test_rows, strict=True)]
    return make_table(rows)


def _tracklets(half: str, names: list[str], info: np.ndarray, source: str) -> list[tuple[int, int, str, list[str]]]:
    """(pid, camid, tracklet, frames) of each row; frames in the order of their numbers, whatever that of `names`."""
    if info[:, 1].max() != len(names):
        raise UserError(
            f"{source}/{half}_name.txt: {len(names)} names, but tracks_{half}_info.mat goes to {info[:, 1].max()}; "
            "take both from the same release"
        )
    found = []
    for first, last, pid, camid in info.tolist():
        frames = names[first - 1 : last]
        folder = "00-1" if pid == JUNK else f"{pid:04d}"
        tracklets = {frame.rpartition("F")[0] for frame in frames}
        tracklet = min(tracklets, default="")
        if len(tracklets) != 1 or not tracklet.startswith(f"{folder}C{camid}T"):
            raise UserError(
                f"{source}/{half}_name.txt: lines {first} to {last} are not one tracklet of person {pid} in camera "
                f"{camid}, as tracks_{half}_info.mat says; take both from the same release"
            )
        paths = [f"bbox_{half}/{folder}/{frame}" for frame in sorted(frames, key=_frame_number)]
        found.append((pid, camid, tracklet, paths))
    return found


def _frame_number(name: str) -> int:
    """12 from `0001C1T0001F012.jpg`."""
    return int(name.rpartition("F")[2].partition(".")[0])

import re
import sys

import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data.dataset import StructureError
from benchmarks.data.datasets.lsvid import LSVid, LSVidVal
from benchmarks.data.loading import load
from benchmarks.data.table import check

LISTS = {  # the beginning of the frames' paths, the person, and the frames' names; the third part is the camera
    "train": [
        ("tracklet_train/0007/0007_01_03", 7, ["0007_01_03_0001", "0007_01_03_0002"]),
        ("tracklet_train/0007/0007_1_15", 7, ["0007_1_15_0001"]),
        ("tracklet_train/0007/0007_1_1", 7, ["0007_1_1_0001"]),
    ],
    "test": [
        ("tracklet_test/0100/0100_01_02", 100, ["0100_01_02_0009", "0100_01_02_0010"]),
        ("tracklet_test/0100/0100_02_11", 100, ["0100_02_11_0001"]),
        ("tracklet_test/0200/0200_01_02", 200, ["0200_01_02_0001"]),
    ],
    "val": [
        ("tracklet_val/0050/0050_01_01", 50, ["0050_01_01_0001"]),
        ("tracklet_val/0050/0050_02_02", 50, ["0050_02_02_0001"]),
    ],
}


@pytest.fixture
def root(tmp_path):
    """A copy with query.npy: the second tracklet of the test is the query."""
    (tmp_path / "list_sequence").mkdir()
    for part, tracklets in LISTS.items():
        lines = [f"{prefix} {pid}" for prefix, pid, _ in tracklets]
        (tmp_path / f"list_sequence/list_seq_{part}.txt").write_text("\n".join(lines) + "\n")
        for prefix, _, frames in tracklets:
            folder = (tmp_path / prefix).parent
            folder.mkdir(parents=True, exist_ok=True)
            for frame in frames:
                (folder / f"{frame}.jpg").touch()
    (tmp_path / "test").mkdir()
    np.save(tmp_path / "test/query.npy", np.array([[2.0]]))
    return tmp_path


def rows(table):
    return [
        (row.subset, row.pid, row.camid, row.tracklet.rpartition("/")[2], len(row.frames)) for row in table.itertuples()
    ]


TRAIN = [("train", 7, 3, "0007_01_03", 2), ("train", 7, 15, "0007_1_15", 1), ("train", 7, 1, "0007_1_1", 1)]


def test_lists_become_tracklets(root):
    table = check(LSVid().read(root, 0), "lsvid")
    assert rows(table) == [
        *TRAIN,
        ("gallery", 100, 2, "0100_01_02", 2),
        ("query", 100, 11, "0100_02_11", 1),
        ("gallery", 200, 2, "0200_01_02", 1),
    ]
    assert table.frames[3] == [f"tracklet_test/0100/0100_01_02_00{number}.jpg" for number in ("09", "10")]
    assert all((root / frame).is_file() for frames in table.frames for frame in frames)
    assert load("lsvid", root=root).protocols[0] == "full"  # with the queries in the gallery


def test_lists_in_info(root):
    expected = rows(LSVid().read(root, 0))
    (root / "info").mkdir()
    (root / "list_sequence").rename(root / "info/list_sequence")
    (root / "test/query.npy").rename(root / "info/query.npy")
    assert rows(LSVid().read(root, 0)) == expected


def test_queries_in_matlab_7_3(root):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: LS-VID's MATLAB files are not read")
    expected = rows(LSVid().read(root, 0))
    (root / "test/query.npy").unlink()
    (root / "test/data").mkdir()
    for part, query in (("test", 2), ("val", 1)):
        with h5py.File(root / f"test/data/info_{part}.mat", "w") as file:
            file["query"] = np.array([[float(query)]])
    assert rows(LSVid().read(root, 0)) == expected
    assert rows(LSVidVal().read(root, 0)) == [
        *TRAIN,
        ("query", 50, 1, "0050_01_01", 1),
        ("gallery", 50, 2, "0050_02_02", 1),
    ]
    (root / "test/data/info_test.mat").write_text("text")
    with pytest.raises(UserError, match=r"info_test\.mat: holds no readable numbers"):
        LSVid().read(root, 0)


def test_missing_h5py_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (root / "test/data").mkdir()
    (root / "test/data/info_test.mat").touch()
    with pytest.raises(UserError, match=r"info_test\.mat: reading it needs the package h5py: pip install"):
        LSVid().read(root, 0)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda root: np.save(root / "test/query.npy", [4]), "query.npy: query 4 is not one of the 3 lines"),
        (lambda root: (root / "tracklet_test/0200/0200_01_02_0001.jpg").unlink(), "0200_01_02: has no frames"),
        (
            lambda root: (root / "tracklet_train/0007/0007_1_1_0001.jpg").rename(
                root / "tracklet_train/0007/0007_1_1.jpg"
            ),
            "0007_1_1: frames of 1 cameras; expected",
        ),
        (
            lambda root: (root / "list_sequence/list_seq_train.txt").write_text("a\n"),
            "list_seq_train.txt: line 1: expected",
        ),
        (
            lambda root: (root / "list_sequence/list_seq_test.txt").unlink(),
            "list_seq_test.txt: not found, and neither is info",
        ),
        (lambda root: (root / "test/query.npy").unlink(), "info_test.mat: not found, .* test/query.npy"),
    ],
)
def test_faults_are_named(root, spoil, problem):
    spoil(root)
    with pytest.raises(StructureError, match=problem):
        LSVid().read(root, 0)


def test_published_counts_add_up():
    """14,943 tracklets in all, of which 779 are for validation (the paper's Table 2)."""
    assert sum(part["tracklets"] for part in LSVid.published.values()) == 14_943 - 779
    assert LSVid.published["train"]["identities"] + LSVidVal.test_identities + LSVid.test_identities == 3772
    assert re.search(r"3,772 people .* 14,943 long", LSVid.__doc__)

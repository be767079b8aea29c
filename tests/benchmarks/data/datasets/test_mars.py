import numpy as np
import pytest
import scipy.io

from baselines.interface.errors import UserError
from benchmarks.data.dataset import StructureError
from benchmarks.data.datasets.mars import Mars, mars_table
from benchmarks.data.matlab import read_matlab
from benchmarks.data.table import check, statistics

TRAIN = [(1, 2, 1, 1), (3, 5, 7, 6)]
TEST = [(1, 2, -1, 1), (3, 4, 0, 2), (5, 6, 2, 3), (7, 9, 2, 4), (10, 10, 2, 3)]


def names_of(info):
    """Frame names that the rows' ranges cover, numbered from F001 in each tracklet."""
    names = []
    for tracklet, (first, last, pid, camid) in enumerate(info, start=1):
        folder = "00-1" if pid == -1 else f"{pid:04d}"
        names += [f"{folder}C{camid}T{tracklet:04d}F{n:03d}.jpg" for n in range(1, last - first + 2)]
    return names


@pytest.fixture
def root(tmp_path):
    (tmp_path / "info").mkdir()
    for half, info in (("train", TRAIN), ("test", TEST)):
        (tmp_path / f"bbox_{half}").mkdir()
        (tmp_path / "info" / f"{half}_name.txt").write_text("\n".join(names_of(info)) + "\n")
        # float64, as MATLAB keeps numbers unless told otherwise
        scipy.io.savemat(tmp_path / "info" / f"tracks_{half}_info.mat", {f"track_{half}_info": np.array(info, float)})
    scipy.io.savemat(tmp_path / "info" / "query_IDX.mat", {"query_IDX": np.array([[3]], np.uint16)})
    return tmp_path


def test_rows_become_tracklets(root):
    table = check(Mars().read(root, 0), "mars")
    rows = [(r.subset, r.pid, r.camid, r.tracklet, r.frames[0], len(r.frames)) for r in table.itertuples()]
    assert rows == [
        ("train", 1, 1, "0001C1T0001", "bbox_train/0001/0001C1T0001F001.jpg", 2),
        ("train", 7, 6, "0007C6T0002", "bbox_train/0007/0007C6T0002F001.jpg", 3),
        ("gallery", -1, 1, "00-1C1T0001", "bbox_test/00-1/00-1C1T0001F001.jpg", 2),
        ("gallery", 0, 2, "0000C2T0002", "bbox_test/0000/0000C2T0002F001.jpg", 2),
        ("query", 2, 3, "0002C3T0003", "bbox_test/0002/0002C3T0003F001.jpg", 2),
        ("gallery", 2, 4, "0002C4T0004", "bbox_test/0002/0002C4T0004F001.jpg", 3),
        ("gallery", 2, 3, "0002C3T0005", "bbox_test/0002/0002C3T0005F001.jpg", 1),
    ]
    assert table.frames[1][-1].endswith("F003.jpg")  # rows are inclusive: the last frame belongs to the tracklet


def test_frames_are_sorted(root):
    file = root / "info/train_name.txt"
    names = file.read_text().split()
    file.write_text("\n".join([*names[:2], names[4], names[2], names[3]]))
    assert Mars().read(root, 0).frames[1] == [f"bbox_train/0007/0007C6T0002F00{n}.jpg" for n in (1, 2, 3)]


def test_shifted_names_are_refused(root):
    file = root / "info/test_name.txt"
    names = file.read_text().split()
    file.write_text("\n".join([*names[1:], names[0]]))
    with pytest.raises(UserError, match=r"test_name\.txt: lines 1 to 2 are not one tracklet of person -1 in camera 1"):
        Mars().read(root, 0)


def test_missing_names_are_refused(root):
    file = root / "info/train_name.txt"
    file.write_text("\n".join(file.read_text().split()[:-1]))
    with pytest.raises(UserError, match=r"train_name\.txt: 4 names, but tracks_train_info\.mat goes to 5"):
        Mars().read(root, 0)


@pytest.mark.parametrize("row", [0, 6])
def test_query_outside_the_table_is_refused(root, row):
    scipy.io.savemat(root / "info/query_IDX.mat", {"query_IDX": np.array([[3, row]])})
    with pytest.raises(UserError, match=rf"query_IDX\.mat: row {row} is not one of the 5"):
        Mars().read(root, 0)


def test_all_faults_are_collected(root):
    (root / "info/train_name.txt").write_text("0001C1T0001F001.jpg")
    names = names_of(TEST)
    (root / "info/test_name.txt").write_text("\n".join([*names[:3], names[4], names[3], *names[5:]]))
    scipy.io.savemat(root / "info/query_IDX.mat", {"query_IDX": np.array([[0, 4, 9]])})
    with pytest.raises(StructureError) as refused:
        Mars().read(root, 0)
    faults = [f"{place.name}: {problem}" for place, problem in refused.value.faults]
    assert [fault.partition(",")[0].partition(";")[0] for fault in faults] == [
        "query_IDX.mat: row 0 is not one of the 5 in tracks_test_info.mat",
        "query_IDX.mat: row 9 is not one of the 5 in tracks_test_info.mat",
        "train_name.txt: 1 names",
        "test_name.txt: lines 3 to 4 are not one tracklet of person 0 in camera 2",
        "test_name.txt: lines 5 to 6 are not one tracklet of person 2 in camera 3",
    ]
    rows = [(r.subset, r.pid, r.camid) for r in refused.value.table.itertuples()]
    assert rows == [("gallery", -1, 1), ("query", 2, 4), ("gallery", 2, 3)]


def test_all_missing_parts_are_listed(root):
    for part in ("info/query_IDX.mat", "info/test_name.txt"):
        (root / part).unlink()
    with pytest.raises(StructureError) as refused:
        Mars().read(root, 0)
    assert [place.name for place, _ in refused.value.faults] == ["test_name.txt", "query_IDX.mat"]


@pytest.mark.parametrize("part", ["bbox_train", "info/train_name.txt", "info/query_IDX.mat"])
def test_missing_part_says_what_the_root_needs(root, part):
    (root / part).rename(root / "elsewhere")
    with pytest.raises(UserError, match=rf"{part}: not found; the root must hold bbox_train/, bbox_test/ and info/"):
        Mars().read(root, 0)


def test_bad_matlab_file_is_refused(root):
    file = root / "info/query_IDX.mat"
    with pytest.raises(UserError, match=r"query_IDX\.mat: has no variable 'ls_set'"):
        read_matlab(file, "ls_set")
    file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(UserError, match=r"query_IDX\.mat: not a readable MATLAB file"):
        Mars().read(root, 0)


def test_published_counts(shared):
    info = shared("mars-info")

    def official(half):
        rows = read_matlab(info / f"tracks_{half}_info.mat", f"track_{half}_info")
        tracklets = [line.split()[0] for line in (info / f"{half}_tracklets.txt").read_text().splitlines()]
        names = [
            f"{tracklet.split('/')[1]}F{number:03d}.jpg"
            for tracklet, (first, last, *_) in zip(tracklets, rows.tolist(), strict=True)
            for number in range(1, last - first + 2)
        ]
        return rows, names, tracklets

    train, train_names, train_tracklets = official("train")
    test, test_names, test_tracklets = official("test")
    query_rows = read_matlab(info / "query_IDX.mat", "query_IDX").ravel()
    table = check(mars_table(train_names, test_names, train, test, query_rows), "mars")

    counts = statistics(table)
    for subset, published in Mars.published.items():
        assert {key: counts[subset][key] for key in published} == published, subset
    parts = dict(list(table.groupby("subset")))
    query, gallery = parts["query"], parts["gallery"]
    assert len(query) + len(gallery) == 12_180
    assert (gallery.pid == -1).sum() == 870
    assert (gallery.pid >= 0).sum() == 9_330
    assert (gallery.pid == 0).sum() == 3_248
    assert counts["query"]["frames"] + counts["gallery"]["frames"] == 681_089
    assert sum(map(len, [*query.frames, *gallery.frames[gallery.pid >= 0]])) == 657_709
    assert len(set(test[:, 2]) - {-1, 0}) == Mars.test_identities == 634
    assert list(parts["train"].tracklet) == [name.split("/")[1] for name in train_tracklets]
    assert set(query.tracklet) | set(gallery.tracklet) == {name.split("/")[1] for name in test_tracklets}

    shown = {pid: set(group.camid) for pid, group in gallery.groupby("pid")}
    cameras = [(shown.get(pid, set()), camid) for pid, camid in zip(query.pid, query.camid, strict=True)]
    assert sum(not (seen - {camid}) for seen, camid in cameras) == 140  # no match across cameras
    assert sum(not seen for seen, _ in cameras) == 28

import shutil

import numpy as np
import pytest
import scipy.io

from baselines.interface.errors import UserError
from benchmarks.data.dataset import StructureError
from benchmarks.data.datasets.ilidsvid import ILidsVid
from benchmarks.data.table import check, statistics

SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"


def write(root, persons, splits):
    for camera in (1, 2):
        for person in reversed(persons):  # made in another order than their names'
            folder = root / f"i-LIDS-VID/sequences/cam{camera}/person{person:03d}"
            folder.mkdir(parents=True)
            for frame in (317, 9, 1200):
                (folder / f"cam{camera}_person{person:03d}_{frame:05d}.png").touch()
            (folder / "Thumbs.db").touch()
    (root / SPLITS).parent.mkdir()
    scipy.io.savemat(root / SPLITS, {"ls_set": np.array(splits, np.uint16)})
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, [2, 5, 30, 319], [[1, 2, 3, 4], [4, 1, 3, 2]])


def test_first_half_of_a_split_is_for_test(root):
    table = check(ILidsVid().read(root, 1), "ilidsvid")  # places 4 and 1 are persons 319 and 2
    rows = {(r.subset, r.pid, r.camid) for r in table.itertuples()}
    assert rows == {
        *(("query", pid, 1) for pid in (2, 319)),
        *(("gallery", pid, 2) for pid in (2, 319)),
        *(("train", pid, camid) for pid in (5, 30) for camid in (1, 2)),
    }
    first = ILidsVid().read(root, 0)
    assert set(first.pid[first.subset == "query"]) == {2, 5}


def test_frames_are_in_time_order(root):
    frames = ILidsVid().read(root, 0).frames[0]
    assert [name[-9:] for name in frames] == ["00009.png", "00317.png", "01200.png"]
    assert all((root / name).is_file() for name in frames)


def test_missing_person_is_refused(root):
    for camera in (1, 2):
        shutil.rmtree(root / f"i-LIDS-VID/sequences/cam{camera}/person005")
    with pytest.raises(UserError, match=r"split 0 orders 4 persons, .*cam2 hold 3"):
        ILidsVid().read(root, 0)


@pytest.mark.parametrize("camera", [1, 2])
def test_missing_person_shifts_no_other(root, camera):
    sound = {(r.subset, r.pid, r.camid) for r in ILidsVid().read(root, 1).itertuples()}
    shutil.rmtree(root / f"i-LIDS-VID/sequences/cam{camera}/person005")
    with pytest.raises(StructureError, match=rf"cam{camera}/person005: not found") as refused:
        ILidsVid().read(root, 1)
    left = {(r.subset, r.pid, r.camid) for r in refused.value.table.itertuples()}
    assert left == sound - {("train", 5, camera)}
    assert len(refused.value.faults) == 1


def test_missing_split_is_refused(root):
    with pytest.raises(UserError, match="split 2 orders 0 persons"):
        ILidsVid().read(root, 2)


def test_unknown_frame_name_is_refused(root):
    (root / "i-LIDS-VID/sequences/cam1/person005/a copy.png").touch()
    with pytest.raises(UserError, match=r"person005/a copy\.png: not named as cam1_person001_00317\.png"):
        ILidsVid().read(root, 0)


def test_frames_are_numbered_by_the_last_digits():
    assert ILidsVid.frame_name.fullmatch("cam1_person001_00317.png")["frame"] == "00317"


def test_missing_second_view_is_refused(root):
    shutil.rmtree(root / "i-LIDS-VID/sequences/cam2/person030")
    with pytest.raises(UserError, match=r"cam2/person030: not found"):
        ILidsVid().read(root, 0)


def test_missing_split_file_is_refused(root):
    (root / SPLITS).unlink()
    with pytest.raises(UserError, match=r"train_test_splits_ilidsvid\.mat: not found; the root must hold"):
        ILidsVid().read(root, 0)


def test_official_splits(tmp_path, shared):
    official = shared("ilids-vid") / "train_test_splits_ilidsvid.mat"
    order = scipy.io.loadmat(official)["ls_set"].astype(int)
    persons = [number for number in range(1, 320) if number % 16][:300]  # numbers go up to 319, with gaps
    root = write(tmp_path, persons, order)
    shutil.copy(official, root / SPLITS)
    for split in range(ILidsVid.splits):
        table = check(ILidsVid().read(root, split), "ilidsvid")
        counts = statistics(table)
        for subset, published in ILidsVid.published.items():
            assert {key: counts[subset][key] for key in published} == published
        asked = set(table.pid[table.subset == "query"])
        assert asked == {persons[place - 1] for place in order[split, :150]}
        assert not asked & set(table.pid[table.subset == "train"])

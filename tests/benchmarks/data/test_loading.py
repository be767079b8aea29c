"""An index of a real data set is used while nothing has changed, and never after."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data.loading import load
from benchmarks.paths import cache_dir


@pytest.fixture
def root(tmp_path):
    """PRID-2011 with four persons and two frames each; split 0 trains on the first two."""
    for camera in "ab":
        for person in range(1, 5):
            folder = tmp_path / f"prid_2011/multi_shot/cam_{camera}/person_{person:04d}"
            folder.mkdir(parents=True)
            for frame in (1, 2):
                cv2.imwrite(str(folder / f"{frame:04d}.png"), np.full((8, 4, 3), 10 * person, np.uint8))
    write_splits(tmp_path, train=[1, 2], test=[3, 4])
    return tmp_path


def write_splits(root, train, test):
    names = {"train": [f"person_{n:04d}" for n in train], "test": [f"person_{n:04d}" for n in test]}
    (root / "splits_prid2011.json").write_text(json.dumps([names] * 10))


def training_pids(root):
    table = load("prid2011", root=root).table
    return sorted(set(table.pid[table.subset == "train"]))


def test_an_unchanged_root_is_read_once_and_gives_the_same_table(root, monkeypatch):
    first = load("prid2011", root=root)
    monkeypatch.setattr("benchmarks.data.prid2011.Prid2011.read", lambda *_: pytest.fail("read again"))
    again = load("prid2011", root=root)
    assert again.digest == first.digest
    assert again.table.to_dict("records") == first.table.to_dict("records")


def test_a_changed_split_file_is_noticed_although_no_folder_changed(root):
    assert training_pids(root) == [1, 2]
    write_splits(root, train=[3, 4], test=[1, 2])
    assert training_pids(root) == [3, 4]


def test_an_added_frame_is_noticed(root):
    before = load("prid2011", root=root).digest
    folder = root / "prid_2011/multi_shot/cam_a/person_0001"
    (folder / "0003.png").write_bytes((folder / "0001.png").read_bytes())
    after = load("prid2011", root=root)
    assert after.digest != before
    assert after.table.frames.map(len).max() == 3


def test_the_digest_does_not_depend_on_where_the_root_lies(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("copy")
    shutil.copytree(root, other, dirs_exist_ok=True)
    assert load("prid2011", root=other).digest == load("prid2011", root=root).digest


def test_a_split_beyond_the_last_is_refused(root):
    with pytest.raises(UserError, match="--split 10: prid2011 has the splits 0 to 9"):
        load("prid2011", split=10, root=root)


def test_a_damaged_index_is_made_again(root):
    before = load("prid2011", root=root)
    (index,) = (cache_dir() / "index").glob(
        f"prid2011-0-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}-*.parquet"
    )
    index.write_bytes(index.read_bytes()[:100])
    assert load("prid2011", root=root).digest == before.digest
    assert index.stat().st_size > 100


def test_damaged_files_of_drawn_data_are_named_and_a_lost_digest_is_computed_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    before = load("walkers:tiny")
    (before.root / "data.json").write_text("{")
    assert load("walkers:tiny").digest == before.digest
    for name in ("table.parquet", "frames.arrow"):
        content = (before.root / name).read_bytes()
        (before.root / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match=rf"{name}: missing or damaged .*delete {before.root}, and make it again"):
            load("walkers:tiny")
        (before.root / name).write_bytes(content)
    assert load("walkers:tiny").digest == before.digest

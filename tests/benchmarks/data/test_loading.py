"""The index of a real data set is used until something changes."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.data import IMPORT_NOTE, imported_folder, is_known
from benchmarks.data.find import full_name, is_drawn
from benchmarks.data.frame_stores import PACK, write_pack
from benchmarks.data.loading import (
    counts_note,
    data_note,
    is_packed,
    known_digests,
    load,
    pack,
    why_unavailable,
)
from benchmarks.data.table import TABLE, make_table
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


def test_other_counts_than_the_published_are_noted(root, bench):
    assert counts_note("prid2011", root) == ""  # not read yet
    loaded = load("prid2011", root=root)
    note = "not the published counts (train identities: 2 found, 89 published, and 5 more differences)"
    assert data_note("prid2011", 0, loaded.digest) == counts_note("prid2011", root) == note
    assert data_note("prid2011", 0, "other data") == ""
    assert f"prid2011: {note}" in bench("plan", "table4", "--dataset", "prid2011", "--root", root).out


def test_published_counts_are_not_noted(root, monkeypatch):
    loaded = load("prid2011", root=root)
    monkeypatch.setattr(type(loaded.dataset), "published", {"train": {"identities": 2, "tracklets": 4, "frames": 8}})
    assert data_note("prid2011", 0, loaded.digest) == counts_note("prid2011", root) == ""


def test_unchanged_root_is_read_once(root, monkeypatch):
    first = load("prid2011", root=root)
    monkeypatch.setattr("benchmarks.data.datasets.prid2011.Prid2011.read", lambda *_: pytest.fail("read again"))
    again = load("prid2011", root=root)
    assert again.digest == first.digest
    assert again.table.to_dict("records") == first.table.to_dict("records")


def test_changed_split_file_is_noticed(root):
    assert training_pids(root) == [1, 2]
    write_splits(root, train=[3, 4], test=[1, 2])
    assert training_pids(root) == [3, 4]


def test_added_frame_is_noticed(root):
    before = load("prid2011", root=root).digest
    folder = root / "prid_2011/multi_shot/cam_a/person_0001"
    (folder / "0003.png").write_bytes((folder / "0001.png").read_bytes())
    after = load("prid2011", root=root)
    assert after.digest != before
    assert after.table.frames.map(len).max() == 3


def test_digest_is_independent_of_the_root(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("copy")
    shutil.copytree(root, other, dirs_exist_ok=True)
    assert load("prid2011", root=other).digest == load("prid2011", root=root).digest


def test_caches_hold_no_absolute_path(root):
    load("prid2011", root=root)
    pack("prid2011", root)
    files = [file for file in cache_dir().rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".parquet", ".json", ".arrow", ".crc32"}
    for file in files:
        assert str(root).encode() not in file.read_bytes(), file


def test_unknown_split_is_refused(root):
    with pytest.raises(UserError, match="--split 10: prid2011 has splits 0 to 9"):
        load("prid2011", split=10, root=root)


def test_damaged_index_is_rebuilt(root):
    before = load("prid2011", root=root)
    (index,) = (cache_dir() / "index").glob(
        f"prid2011-0-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}-*.parquet"
    )
    index.write_bytes(index.read_bytes()[:100])
    assert load("prid2011", root=root).digest == before.digest
    assert index.stat().st_size > 100


def test_damaged_drawn_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    before = load("walkers:tiny")
    (before.root / "data.json").write_text("{")
    assert load("walkers:tiny").digest == before.digest
    for name in ("table.parquet", "frames.arrow"):
        content = (before.root / name).read_bytes()
        (before.root / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match=rf"{name}: missing or damaged .*delete {before.root} and create it again"):
            load("walkers:tiny")
        (before.root / name).write_bytes(content)
    assert load("walkers:tiny").digest == before.digest


def test_imported_dataset_is_loaded_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    folder = imported_folder("mine")
    rows = [("train", 1, 1, "a", ["a/1.jpg"]), ("query", 2, 1, "b", ["b/1.jpg"]), ("gallery", 2, 2, "c", ["c/1.jpg"])]
    write_pack(folder / PACK, [(frames[0], bytes([pid])) for _, pid, _, _, frames in rows])
    make_table(rows).to_parquet(folder / TABLE)
    assert not is_known("mine")  # the note comes last
    (folder / IMPORT_NOTE).write_text("{}")
    assert is_known("mine")
    assert known_digests("mine", 0) == set()
    loaded = load("mine")
    assert loaded.table.to_dict("records") == make_table(rows).to_dict("records")
    assert known_digests("mine", 0) == {loaded.digest}
    assert (full_name("mine"), is_drawn("mine"), is_packed("mine")) == ("mine", False, True)
    with pytest.raises(UserError, match="--root"):
        load("mine", root=tmp_path)


def test_unknown_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    too_long_for_a_file = "é" * 200
    for name in ("marss", "walkers:huge", "mars:tiny", too_long_for_a_file):
        with pytest.raises(UserError, match=r"no (data set|size)"):
            load(name)
        assert why_unavailable(name)
        assert (known_digests(name, 0), is_drawn(name), is_packed(name)) == (set(), False, False)

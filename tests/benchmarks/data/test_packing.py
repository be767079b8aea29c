"""A pack equals the folders byte for byte, survives an interruption, and is copied to a node's disk completely."""

import shutil

import pytest

from baselines.interface.errors import UserError
from benchmarks.data import loading, packing
from benchmarks.data.export_layouts import export
from benchmarks.data.frame_stores import FolderStore, PackedStore


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs") / "mars"
    export(loading.load("walkers:tiny"), "mars", folder)
    return folder


def frames(data: loading.LoadedDataset) -> dict[str, bytes]:
    return {name: bytes(data.store.read(name)) for names in data.table.frames for name in names}


def test_packing_changes_no_byte(place, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(packing, "FRAMES_PER_PART", 100)
    plain = loading.load("mars", root=place)
    assert isinstance(plain.store, FolderStore)
    loading.pack("mars", place)
    packed = loading.load("mars", root=place)
    assert isinstance(packed.store, PackedStore)
    assert len(packed.store.files) > 1
    assert packed.digest == plain.digest
    assert frames(packed) == frames(plain)


def test_interrupted_packing_continues(place, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(packing, "FRAMES_PER_PART", 100)
    read, count = FolderStore.read, []

    def stops(self, name):
        count.append(name)
        if len(count) == 150:
            raise KeyboardInterrupt
        return read(self, name)

    monkeypatch.setattr(FolderStore, "read", stops)
    with pytest.raises(KeyboardInterrupt):
        loading.pack("mars", place)
    assert isinstance(loading.load("mars", root=place).store, FolderStore)
    before = len(count)
    loading.pack("mars", place)
    total = sum(map(len, loading.load("mars", root=place).table.frames))
    assert len(count) - before == total - 100  # the part that was complete is not read again


def test_pack_of_other_data_is_not_used(place, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "mars"
    shutil.copytree(place, copy)
    loading.pack("mars", copy)
    file = copy / loading.load("mars", root=copy).table.frames[0][0]
    file.write_bytes(file.read_bytes() + b"\0")
    assert isinstance(loading.load("mars", root=copy, fresh=True).store, FolderStore)
    file.parent.touch()
    assert isinstance(loading.load("mars", root=copy).store, FolderStore)


def test_node_reads_from_its_own_disk(place, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "shared"))
    folder = loading.pack("mars", place)
    monkeypatch.setenv("NODE", str(tmp_path / "node"))
    monkeypatch.setenv("BENCH_SCRATCH", "$NODE")
    data = loading.load("mars", root=place)
    shutil.rmtree(folder)
    assert all(tmp_path / "node" in file.parents for file in data.store.files)
    assert len(frames(data)) == sum(map(len, data.table.frames))


def test_drawn_data_come_packed():
    with pytest.raises(UserError, match="already packed"):
        loading.pack("walkers:tiny")


def test_damaged_pack_is_written_again(place, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    folder = loading.pack("mars", place)
    (folder / packing.NOTE).write_text('{"dig')
    assert isinstance(loading.load("mars", root=place).store, FolderStore)
    loading.pack("mars", place)
    assert isinstance(loading.load("mars", root=place).store, PackedStore)

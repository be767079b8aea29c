"""What is finished survives a power cut: each file is flushed before it takes its name, and its name before the next step."""

import os

import pytest

from benchmarks.atomic import atomic_file, atomic_folder
from benchmarks.reliability.child import Folders
from benchmarks.reliability.power_cut import lose_unflushed, watch
from benchmarks.reliability.readers import READERS
from slurm.snapshot import snapshot

WRITTEN_BY_BENCH = {  # curves are not: each epoch appends a line, which nothing reads but figures
    *("pack of frames", "table of tracklets", "checkpoint", "final weights", "record", "exported runs"),
    *("experiment of a run", "results of queries", "ledger of jobs", "journal of a search"),
}


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Two folders, whose flushes are watched during the test."""
    for name in ("fsync", "sync", "rename", "replace"):
        monkeypatch.setattr(os, name, getattr(os, name))  # put back after the test
    folders = Folders(tmp_path / "runs", tmp_path / "cache")
    for folder in folders:
        folder.mkdir()
    try:
        os.setxattr(folders.results, "user.flushed", b"")
    except OSError:
        pytest.skip("a file system without extended attributes")
    watch(folders, tmp_path / "report")
    return folders


@pytest.mark.parametrize(
    "reader", [each for each in READERS if each.name in WRITTEN_BY_BENCH], ids=lambda each: each.name
)
def test_written_file_survives(watched, reader):
    file = reader.make(watched.results)
    written = reader.read(file)
    lose_unflushed(watched)
    assert reader.read(file) == written


def test_unflushed_data_are_lost(watched):
    for name in ("flushed", "unflushed", "appended"):
        with open(watched.results / name, "w") as stream:
            stream.write("text")
            stream.flush()
            if name != "unflushed":
                os.fsync(stream.fileno())
            if name == "appended":
                stream.write("more")
    lose_unflushed(watched)
    assert {file.name: file.read_text() for file in watched.results.iterdir()} == {
        "flushed": "text", "unflushed": "", "appended": "text"
    }  # fmt: skip


def test_folder_is_flushed_as_a_whole(watched):
    """As `bench data export` writes one: many files, none of which is flushed by itself."""
    with atomic_folder(watched.cache / "mars") as half:
        (half / "bbox_train").mkdir()
        (half / "bbox_train" / "0001.jpg").write_bytes(b"pixels")
    lose_unflushed(watched)
    assert (watched.cache / "mars/bbox_train/0001.jpg").read_bytes() == b"pixels"


def test_copy_of_submitted_code_survives(watched):
    copy = snapshot([], {"benchmarks/__init__.py": "code"}, watched.results / "code")
    lose_unflushed(watched)
    assert (copy / "benchmarks/__init__.py").read_text() == "code"


def test_order_of_flushes_and_renames_is_noticed(watched, tmp_path):
    for name in ("a", "b"):
        with atomic_file(watched.results / name) as half:
            half.write_text("text")
    half = watched.results / "c.half"
    half.write_text("text")
    half.replace(watched.results / "c")
    (watched.results / "c").replace(watched.results / "d")
    found = [line.rpartition("/")[::2] for line in (tmp_path / "report").read_text().splitlines()]
    folder = str(watched.results)
    assert found == [
        (f"flushed {folder}", "a"),
        (f"flushed {folder}", "b"),
        (f"unflushed {folder}", "c"),
        (f"followed by a rename before its name is flushed: {folder.rpartition('/')[0]}", "runs"),
        (f"unflushed {folder}", "d"),
    ]

"""A file or folder is written completely or not at all, whoever else writes it at the same time."""

import errno
import os
import time

import pytest

from benchmarks import atomic
from benchmarks.atomic import atomic_file, atomic_folder, leftovers, write_atomically


def killed_while_writing(writing, path):
    """A process is killed in the middle of writing `path`."""
    if (child := os.fork()) == 0:
        with writing(path) as half:
            (half / "part" if writing is atomic_folder else half).write_text("half")
            os._exit(9)
    os.waitpid(child, 0)


def make_old(folder):
    """As if nothing in `folder` had changed since yesterday."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 86_400,) * 2)


@pytest.mark.parametrize("name", ["result.json", ".hidden", "a.b.c"])
def test_two_writers_with_one_process_id(tmp_path, name):
    # As in two containers, each of which starts its first process with the same id.
    file = tmp_path / name
    with atomic_file(file) as first:
        first.write_text("first")
        with atomic_file(file) as second:
            second.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


def test_two_processes_make_one_folder(tmp_path):
    folder = tmp_path / "drawn"

    def late():
        with atomic_folder(folder) as first:
            (first / "data").write_text("first")
            with atomic_folder(folder) as second:
                (second / "data").write_text("second")

    with pytest.raises(OSError, match=r"drawn"):
        late()
    assert (folder / "data").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("writing", [atomic_file, atomic_folder])
def test_killed_process_hinders_nobody(tmp_path, writing, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    killed_while_writing(writing, tmp_path / "made")
    assert not (tmp_path / "made").exists()
    with writing(tmp_path / "made") as half:
        (half / "part" if writing is atomic_folder else half).write_text("whole")
    assert "whole" in [
        (tmp_path / "made").read_text() if writing is atomic_file else (tmp_path / "made/part").read_text()
    ]


def test_only_abandoned_halves_are_leftovers(tmp_path):
    killed_while_writing(atomic_folder, tmp_path / "made")
    assert leftovers(tmp_path) == []  # it may be on another machine, whose locks are not seen here
    make_old(tmp_path)
    (left,) = leftovers(tmp_path)
    with atomic_file(tmp_path / "other") as half:
        half.write_text("slow")
        make_old(tmp_path)
        assert leftovers(tmp_path) == [left]
    with atomic_folder(tmp_path / "another"):
        assert left.exists()
    with atomic_folder(tmp_path / "made"):
        assert not left.exists()


def test_halves_of_older_versions_are_leftovers(tmp_path):
    older = [tmp_path / ".model.safetensors.4711", tmp_path / ".drawn.12.half"]
    for path in (*older, tmp_path / ".lock", tmp_path / "model.4711"):
        path.touch()
    assert leftovers(tmp_path) == sorted(older)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_an_error_of_the_file(tmp_path, number):
    with (
        pytest.raises(OSError, match=r"free some space, or use a folder on another disk") as full,
        atomic_file(tmp_path / "pack"),
    ):
        raise OSError(number, "Error writing bytes to file")  # Arrow's names no file
    assert full.value.filename == str(tmp_path / "pack")
    assert list(tmp_path.iterdir()) == []


def test_error_of_another_file_keeps_its_name(tmp_path):
    def copy():
        with atomic_folder(tmp_path / "export"):
            raise PermissionError(errno.EACCES, "Permission denied", "/data/mars/1.jpg")

    with pytest.raises(PermissionError) as refused:
        copy()
    assert (refused.value.filename, refused.value.strerror) == ("/data/mars/1.jpg", "Permission denied")


def test_full_disk_of_a_copy_names_the_copy(tmp_path):
    """As `shutil.copyfile` reports it."""
    with pytest.raises(OSError, match="free some space") as full, atomic_file(tmp_path / "copy") as half:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/pack", None, str(half))
    assert full.value.filename == str(tmp_path / "copy")


def test_read_only_folder_says_what_to_do(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(atomic.Path, "mkdir", refuse)
    with pytest.raises(
        OSError, match=r"Read-only file system; make the folder writable, or use another one"
    ) as refused:
        write_atomically(tmp_path / "note.json", "{}")
    assert refused.value.filename == str(tmp_path)


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "note.json", "{}")
        with atomic_folder(tmp_path / "made"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("note.json", "made")] == [0o640, 0o750]

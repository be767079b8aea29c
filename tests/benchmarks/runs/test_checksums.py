"""A file of weights that was damaged on disk is refused by name."""

import subprocess
from pathlib import Path

import pytest

from baselines.interface.errors import UserError
from benchmarks.runs.checksums import check_file, checked_file, checksum_file, remove_checked


@pytest.fixture
def file(tmp_path):
    with checked_file(tmp_path / "model.safetensors") as half:
        half.write_bytes(bytes(1000))
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("harm", [lambda old: old[:500] + b"\x01" + old[501:], lambda old: old[:-1], lambda _: b""])
def test_damage_is_found(file, harm):
    check_file(file)
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(UserError, match=r"model\.safetensors: damaged .*--fresh"):
        check_file(file)


def test_damaged_checksum_is_reported(file):
    checksum_file(file).write_bytes(b"\xff\x00")
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        check_file(file)


def test_sha256sum_reads_the_checksum(file):
    command = ["sha256sum", "--check", checksum_file(file).name]
    assert subprocess.run(command, cwd=file.parent, capture_output=True).returncode == 0


def test_file_is_whole_whenever_its_replacement_is_interrupted(file, monkeypatch):
    """Before the new file, between its checksum and the file, and after the file: what is there passes."""
    rename, renamed = Path.replace, []

    def interrupted(path, target):
        if len(renamed) == stop:
            raise KeyboardInterrupt
        renamed.append(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    for stop in range(3):
        renamed.clear()
        with pytest.raises(KeyboardInterrupt), checked_file(file) as half:
            half.write_bytes(bytes([stop + 1]))
        check_file(file)
    assert file.read_bytes() == b"\x03"  # the last one was interrupted after the file had been replaced


def test_file_of_an_earlier_version_passes(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"old")
    check_file(tmp_path / "model.safetensors")


def test_both_files_are_removed(file):
    remove_checked(file)
    assert list(file.parent.iterdir()) == []

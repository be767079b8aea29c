"""Remove files that are no longer needed: old checkpoints, temporary files, failed runs, old copies of the code."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from baselines.interface.errors import UserError
from benchmarks.atomic import leftovers
from benchmarks.paths import results_dir
from benchmarks.runs.checksums import checksum_file
from benchmarks.runs.folder import RunFolder
from slurm.ledger import Ledger

from .queue import jobs_in_queue


class Removable(NamedTuple):
    """A file or folder that can be removed, and its size in bytes."""

    path: Path
    size: int


def clean(remove: bool) -> Iterator[Removable]:
    """The files and folders that are no longer needed; `remove` also deletes them.

    Failed runs and copies of the code are included only while no job is queued or running.
    """
    ledger = Ledger(results_dir())
    # The lock: nobody submits meanwhile and needs a copy of the code.
    with ledger.lock() if ledger.folder.exists() else nullcontext():
        for path in list(_removable(results_dir(), ledger)):
            yield Removable(path, _size(path))
            if remove:
                _remove(path)


def _size(path: Path) -> int:
    """Of a file, or of all files in a folder. What a process has removed meanwhile does not count."""
    size = 0
    for file in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            found = file.lstat()
            size += found.st_size if S_ISREG(found.st_mode) else 0
    return size


def _removable(results: Path, ledger: Ledger) -> Iterator[Path]:
    no_jobs = jobs_in_queue(ledger) == {}
    for folder in map(RunFolder, sorted(results.glob("*/"))):
        if folder.is_locked:
            continue
        if no_jobs and folder.failed_empty:
            yield folder.path
            continue
        yield from leftovers(folder.path)
        if folder.record.exists():
            unneeded = (folder.checkpoint, checksum_file(folder.checkpoint), folder.failure)
            yield from (file for file in unneeded if file.exists())
    yield from leftovers(results)
    if no_jobs:
        copies = ledger.folder / "code"
        yield from (*copies.glob("*"), *copies.glob(".half-*"))


def _remove(path: Path) -> None:
    folder = RunFolder(path)
    if not path.is_dir():
        path.unlink(missing_ok=True)
    elif not folder.failed_empty:
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
    else:
        with suppress(UserError), folder.lock():  # not if a run is running in it, or has left a state there
            if folder.empty:
                shutil.rmtree(path)

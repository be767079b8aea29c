"""Remove files that are no longer needed: old checkpoints, temporary files, failed runs, old copies of the code."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

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
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            yield Removable(path, sum(file.stat().st_size for file in files))
            if remove:
                _remove(path)


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
    with folder.lock() if folder.failed_empty else nullcontext():  # not if a run has started in it meanwhile
        shutil.rmtree(path) if path.is_dir() else path.unlink()

"""What a power cut could lose: data that were not flushed to the disk.

A file must be flushed before it takes the name under which it is read, and its new name before the next file takes one. Runs
are also killed and lose all unflushed data, as on a file system that writes only what it must.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .child import Folders, start
from .killed import kill_runs
from .outcome import RUN, Outcome, Undisturbed

FLUSHED = "user.flushed"  # an extended attribute of a file: its size when it was flushed
REPORT = "renamed.txt"


def check_order(folder: Path) -> Outcome:
    """In a run from an empty cache to its record, every file is flushed before it, or its folder, is renamed."""
    outcome = Outcome("files flushed before they are renamed, and their names after it")
    here = Folders(folder / "power" / "runs", folder / "power" / "cache")
    report = folder / "power" / REPORT
    child = start(RUN, here, lambda: watch(here, report))
    outcome.require(child.finish() == 0, child.last_line)
    for line in report.read_text().splitlines():
        flushed, _, name = line.partition(" ")
        outcome.tried += 1
        outcome.require(flushed == "flushed", f"{Path(name).name} is {flushed}")
    return outcome


def cut_power(expected: Undisturbed, chains: int, folder: Path, seed: int = 0) -> list[Outcome]:
    """As `kill_runs`; and what a killed run had not flushed is lost."""
    outcomes = kill_runs(expected, chains, folder / "cut", seed, watch, lose_unflushed)
    for outcome in outcomes:
        outcome.what = f"unflushed data lost: {outcome.what}"
    return outcomes


def lose_unflushed(folders: Folders) -> None:
    """Cut each file to the size that it had when it was flushed, or to nothing."""
    for file in _files(*folders):
        if file.stat().st_size > (size := _flushed(file)):
            os.truncate(file, size)


def watch(folders: Folders, report: Path = Path(os.devnull)) -> None:
    """Mark each file that this process flushes. Report whether each that it renames, itself or with its folder, was flushed."""
    fsync, sync = os.fsync, os.sync
    unflushed_names: set[Path] = set()  # folders in which something was renamed
    stream = open(report, "w", buffering=1)  # noqa: SIM115 - until the end of the process

    def mark(path: Path) -> None:
        if path.is_file():
            os.setxattr(path, FLUSHED, str(path.stat().st_size).encode())

    def note_flush(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}")
        mark(path)
        unflushed_names.discard(path.resolve())

    def note_sync() -> None:
        sync()
        for file in _files(*folders):
            mark(file)
        unflushed_names.clear()

    def noting(rename: Callable[..., None]) -> Callable[..., None]:
        def call(source: Any, target: Any, **options: Any) -> None:
            for folder in unflushed_names:
                print(f"followed by a rename before its name is flushed: {folder}", file=stream)
            path = Path(source)
            for file in _files(path):
                whole = _flushed(file) == file.stat().st_size
                print("flushed" if whole else "unflushed", file.name if file != path else target, file=stream)
            rename(source, target, **options)
            unflushed_names.add(Path(target).parent.resolve())

        return call

    os.fsync, os.sync = note_flush, note_sync  # type: ignore[assignment]
    os.rename, os.replace = noting(os.rename), noting(os.replace)


def _files(*paths: Path) -> list[Path]:
    """The files among the paths, and in the folders among them."""
    return [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]


def _flushed(file: Path) -> int:
    """How many of a file's bytes are on the disk."""
    return int(os.getxattr(file, FLUSHED)) if FLUSHED in os.listxattr(file) else 0

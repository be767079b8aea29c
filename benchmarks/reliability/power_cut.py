"""What a power cut could lose: a file must be flushed to the disk before it takes the name under which it is read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .child import Folders, start
from .outcome import RUN, Outcome

REPORT = "renamed.txt"


def check_order(folder: Path) -> Outcome:
    """In a run from an empty cache to its record, every file is flushed before it, or its folder, is renamed."""
    outcome = Outcome("files flushed before they are renamed")
    here = Folders(folder / "power" / "runs", folder / "power" / "cache")
    report = folder / "power" / REPORT
    child = start(RUN, here, lambda: watch(report))
    outcome.require(child.finish() == 0, child.last_line)
    for line in report.read_text().splitlines():
        flushed, _, name = line.partition(" ")
        outcome.tried += 1
        outcome.require(flushed == "flushed", f"{Path(name).name} is renamed before it is flushed")
    return outcome


def watch(report: Path) -> None:
    """Note for each file that this process renames whether it was flushed before, itself or with its folder."""
    flushed: dict[int, int] = {}  # the size of each file when it was flushed last, by inode
    fsync = os.fsync
    stream = open(report, "w", buffering=1)  # noqa: SIM115 - until the end of the process

    def note_flush(descriptor: int) -> None:
        fsync(descriptor)
        flushed[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def noting(rename: Callable[..., None]) -> Callable[..., None]:
        def call(source: Any, target: Any, **options: Any) -> None:
            path = Path(source)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            for file in files:
                whole = flushed.get(file.stat().st_ino) == file.stat().st_size
                print("flushed" if whole else "unflushed", file.name if file != path else target, file=stream)
            rename(source, target, **options)

        return call

    os.fsync = note_flush  # type: ignore[assignment]
    os.rename, os.replace = noting(os.rename), noting(os.replace)

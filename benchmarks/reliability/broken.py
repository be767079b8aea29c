"""Failures around a run: the disk is full, a folder becomes read-only, a worker is killed, the clock is set back."""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path

import benchmarks.runs.cost

from .child import EXTRACTING, PHASES, TRAINING, Child, Folders, start
from .outcome import RUN, TABLE, Outcome, Undisturbed, check, complete

USER_ERROR = 2
MEBIBYTE = 2**20
CAPABILITY_VERSION, DAC_OVERRIDE = 0x20080522, 1  # as linux/capability.h numbers them


def fill_disk(expected: Undisturbed, points: int, folder: Path) -> Outcome:
    """A run on a disk that is full after so many bytes, at `points` sizes; then there is space."""
    outcome = Outcome("disk full after so many bytes")
    if os.geteuid():
        outcome.skipped = "needs root, for a file system of its own"
        return outcome
    with _small_disk(folder / "disk", 64 * MEBIBYTE) as disk:
        here = Folders(disk / "runs", disk / "cache")
        if start(RUN, here).finish():
            raise RuntimeError("64 MiB are too small for the run")
        used = shutil.disk_usage(disk).used
    for point in range(points):
        with _small_disk(folder / "disk", 64 * MEBIBYTE) as disk:
            room = used * (point + 1) // (points + 1)
            filler = disk / "filler"
            with open(filler, "wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(disk).free - room)
            here = Folders(disk / "runs", disk / "cache")
            child = _start_elsewhere(RUN, here, folder)
            _expect_error(outcome, child, f"{room:,} bytes free")
            filler.unlink()
            complete(outcome, expected, here, f"{room:,} bytes free")
    return outcome


def fill_disk_in_each_phase(expected: Undisturbed, times: int, folder: Path) -> Outcome:
    """The disk fills up as a phase of a run begins; then there is space."""
    outcome = Outcome("disk full as a phase begins")
    if os.geteuid():
        outcome.skipped = "needs root, for a file system of its own"
        return outcome
    for phase in PHASES * times:
        with _small_disk(folder / "disk", 64 * MEBIBYTE) as disk:
            here, filler = Folders(disk / "runs", disk / "cache"), disk / "filler"
            child = _start_elsewhere(RUN, here, folder)
            if child.wait_for(phase):
                with (
                    open(filler, "wb") as stream,
                    suppress(OSError),
                ):  # of what is free now, the run may have taken some
                    while True:
                        os.posix_fallocate(stream.fileno(), stream.tell(), 4096)
                        stream.seek(4096, os.SEEK_CUR)
            _expect_error(outcome, child, phase)
            filler.unlink(missing_ok=True)
            complete(outcome, expected, here, phase)
    return outcome


def _start_elsewhere(words: tuple[str, ...], here: Folders, outputs: Path) -> Child:
    """As `start`, with the output outside the disk that is full."""
    outputs.mkdir(parents=True, exist_ok=True)
    return start(words, here, output=outputs / "full.txt")


def _expect_error(outcome: Outcome, child: Child, what: str) -> None:
    """A run that must end with one line which names a file; or, if it was done with the file already, without an error."""
    status = child.finish()
    outcome.tried += 1
    outcome.count(child.last_phase if status else "finished")
    text = "\n".join(child.lines)
    outcome.require(status in (0, USER_ERROR), f"{what}: exit status {status}: {child.last_line}")
    outcome.require("Traceback" not in text, f"{what}: a traceback")
    if status:
        outcome.require("/" in child.last_line, f"{what}: names no file: {child.last_line}")


@contextmanager
def _small_disk(place: Path, size: int) -> Iterator[Path]:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def turn_read_only(expected: Undisturbed, folder: Path) -> Outcome:
    """The run's folder turns read-only as a phase begins; then it is writable again."""
    outcome = Outcome("folder read-only")
    for number, phase in enumerate(PHASES[1:]):
        here = Folders(folder / f"read-only-{number}" / "runs", folder / "read-only-cache")
        child = start(RUN, here, _obey_permissions)
        locked = []
        if child.wait_for(phase):
            locked = [here.results, *here.results.iterdir()]
        for each in locked:
            each.chmod(0o555)
        _expect_error(outcome, child, phase)
        for each in locked:
            each.chmod(0o755)
        complete(outcome, expected, here, phase)
    return outcome


def _obey_permissions() -> None:
    """Drop root's right to write where permissions forbid it."""
    if os.geteuid():
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    data[0] &= ~(1 << DAC_OVERRIDE)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def kill_workers(expected: Undisturbed, times: int, folder: Path) -> Outcome:
    """A process that reads frames is killed while the run trains and while it extracts."""
    outcome = Outcome("worker killed")
    for number in range(times):
        phase = (TRAINING, EXTRACTING)[number % 2]
        here = Folders(folder / f"worker-{number}" / "runs", folder / "worker-cache")
        child = start((*RUN, "--workers", "2"), here)
        if child.wait_for(phase):
            for pid in _workers(child)[:1]:
                os.kill(pid, signal.SIGKILL)
                outcome.tried += 1
        status = child.finish()
        outcome.require(status == 0, f"{phase}: exit status {status}: {child.last_line}")
        check(outcome, expected, here, phase)
    return outcome


def _workers(child: Child) -> list[int]:
    """The process ids of a run's workers, as soon as there are two; none if it ends before."""
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    while child.is_running:
        pids = [int(word) for word in children.read_text().split()]
        if len(pids) == 2:
            return pids
    return []


class Backward(datetime):
    """A clock that is set back by a day after it has been read once."""

    days = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Backward":
        cls.days -= 1
        return super().now(tz) + timedelta(days=cls.days)


def set_clock_back(expected: Undisturbed, folder: Path) -> Outcome:
    """The clock is set back while the run trains; the record is read by `bench table`."""
    outcome = Outcome("clock set back", tried=1)
    here = Folders(folder / "clock" / "runs", folder / "clock" / "cache")
    child = start(RUN, here, partial(setattr, benchmarks.runs.cost, "datetime", Backward))
    status = child.finish()
    outcome.require(status == 0, f"exit status {status}: {child.last_line}")
    check(outcome, expected, here, "the run")
    table = start(TABLE, here)
    outcome.require(table.finish() == 0, f"bench table: {table.last_line}")
    return outcome

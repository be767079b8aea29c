"""The ledger: which job runs which task. An append-only file next to the results, one line per event."""

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """A command to run once. `key` identifies it; `title` is its name for users."""

    key: str
    title: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class LedgerEntry:
    """A task that was given to a job, or cancelled.

    Attributes:
        key, title: the task's.
        job: Slurm's job id (12_3 in an array), or a process id on this machine; "" after it was cancelled.
        cluster: "slurm" or "local".
        folder: the folder of the job's files, relative to the ledger's folder.
        time: when, in UTC.
        host: the machine to which a process id belongs; "" on Slurm.
    """

    key: str
    title: str
    job: str
    cluster: str
    folder: str
    time: str
    host: str = ""

    def logs(self, ledger_folder: Path) -> list[Path]:
        """The files of what the job's processes printed: first their standard output, then their standard error."""
        folder, streams = ledger_folder / self.folder, ("out", "err")
        return [file for stream in streams for file in sorted(folder.glob(f"{self.job}_*_log.{stream}"))]


class Ledger:
    """The ledger in the folder `results`, which is on a file system that all machines of the cluster share."""

    def __init__(self, results: Path) -> None:
        self.folder = results / ".jobs"
        self.file = self.folder / "ledger.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let only one process at a time read the ledger and add to it. The kernel frees the lock of a process that dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def add(self, entries: Iterable[LedgerEntry]) -> None:
        """Append entries, in one write, and flush them to the disk. They begin on a new line even if the last one is incomplete.

        Raises:
            OSError: the disk is full. It names the ledger.
        """
        try:
            with open(self.file, "ab+") as file:
                if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                    file.write(b"\n")
                file.write("".join(json.dumps(asdict(entry)) + "\n" for entry in entries).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # that of a write names no file
            raise OSError(error.errno, error.strerror, str(self.file)) from error

    def entries(self) -> dict[str, LedgerEntry]:
        """The last entry of each task, by the task's key.

        An incomplete last line is ignored. Any other that is no entry is left out, with a line on stderr.
        """
        if not self.file.exists():
            return {}
        lines = self.file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        found = (_parse(line, f"{self.file}, line {number}") for number, line in enumerate(lines, 1))
        return {entry.key: entry for entry in found if entry is not None}


@cache  # a verb reads the ledger several times; it reports a line once
def _parse(line: str, place: str) -> LedgerEntry | None:
    try:
        entry = LedgerEntry(**json.loads(line))
        if all(isinstance(value, str) for value in vars(entry).values()):
            return entry
        reason = "a value that is not text"
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())  # in one line, whatever the damaged line holds
    print(f"bench: left out: {place}: not the entry of a job ({reason}); remove the line", file=sys.stderr)
    return None


def now() -> str:
    """The current time as ledger entries spell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

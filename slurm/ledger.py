"""Which job carries which task: a file that only grows, a line an event, beside the tasks' results."""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """Something to run once: `key` tells it from all others, `title` is for people, `command` is what runs."""

    key: str
    title: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A task given to a job, or taken back.

    Attributes:
        key, title: the task's.
        job: Slurm's id (12_3 in an array), or a process id of this machine; "" once it was cancelled.
        cluster: "slurm" or "local".
        folder: of the job's files, below the ledger's folder.
        time: when, in UTC.
        host: the machine whose process id `job` is; "" on Slurm.
    """

    key: str
    title: str
    job: str
    cluster: str
    folder: str
    time: str
    host: str = ""

    def logs(self, place: Path) -> list[Path]:
        """What the job's processes printed, then what they complained; `place` is the ledger's folder."""
        kinds = ("out", "err")
        return [file for kind in kinds for file in sorted((place / self.folder).glob(f"{self.job}_*_log.{kind}"))]


class Ledger:
    """The ledger below `place`, a folder on the file system that the cluster's machines share."""

    def __init__(self, place: Path) -> None:
        self.place = place / ".jobs"
        self.file = self.place / "ledger.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one submission at a time looks and adds; the kernel lets go of the lock of a process that dies."""
        self.place.mkdir(parents=True, exist_ok=True)
        with open(self.place / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def add(self, entries: Iterable[Entry]) -> None:
        """Append, in one write."""
        with open(self.file, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(asdict(entry)) + "\n" for entry in entries))

    def entries(self) -> dict[str, Entry]:
        """The last event of each task, by its key. A last line that was cut off is left out."""
        if not self.file.exists():
            return {}
        lines = self.file.read_text(encoding="utf-8").split("\n")[:-1]
        return {entry.key: entry for entry in (Entry(**json.loads(line)) for line in lines)}


def now() -> str:
    """The time as entries have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""What an injected fault caused, and what must be true of a run afterwards."""

import hashlib
import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from benchmarks import cli
from benchmarks.runs.folder import RunFolder, run_folders
from benchmarks.runs.record import Metrics
from benchmarks.runs.store import read_record

from .child import Folders, start

TABLE = ("table",)
SMALL = ("threads=1", "height=32", "width=16", "clips=2", "clip_frames=4", "test_frames=4")
RUN = (
    *("run", "--method", "mean+afa", "--dataset", "walkers:tiny", "--epochs", "3", "--checkpoint-minutes", "0"),
    *("--workers", "0", *(word for change in SMALL for word in ("--set", change))),
)


@dataclass
class Outcome:
    """How often something was tried, and each time that it did not end as it must.

    Attributes:
        skipped: why it was not tried; empty if it was.
        counts: of the ways in which it ended.
    """

    what: str
    tried: int = 0
    faults: list[str] = field(default_factory=list)
    skipped: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, way: str) -> None:
        self.counts[way] = self.counts.get(way, 0) + 1

    def require(self, holds: bool, fault: str) -> None:
        """Note a fault unless the condition holds."""
        if not holds:
            self.faults.append(fault)


class Undisturbed(NamedTuple):
    """What a run leaves that nothing disturbs, and how long its phases take."""

    weights: str
    metrics: list[Metrics]
    frames: int
    durations: dict[str, float]


def warm_up(folders: Folders) -> None:
    """Run once in this process: what it imports and compiles need not be done after each fork."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), patch.dict(os.environ, folders.variables):
        cli.app(RUN, standalone_mode=False)
        cli.app(TABLE, standalone_mode=False)


def undisturbed(folders: Folders) -> Undisturbed:
    """Run once without a disturbance.

    Raises:
        RuntimeError: the run fails.
    """
    child = start(RUN, folders)
    if child.finish():
        raise RuntimeError(f"an undisturbed run fails: {child.last_line}")
    (folder,) = run_folders(folders.results)
    record = read_record(folder)
    assert record is not None
    return Undisturbed(_digest(folder.weights), record.metrics, record.phases["train"].items, child.durations)


def complete(outcome: Outcome, expected: Undisturbed, folders: Folders, what: str) -> None:
    """Run the same command again, and check that it ends as if it had not been disturbed."""
    child = start(RUN, folders)
    status = child.finish()
    outcome.require(status == 0, f"{what}: the same command ends with {status}: {child.last_line}")
    if status == 0:
        check(outcome, expected, folders, what)


def check(outcome: Outcome, expected: Undisturbed, folders: Folders, what: str) -> None:
    """Check a finished run: one record, the same bits and metrics, its costs, no half-written file."""
    finished = [folder for folder in run_folders(folders.results) if folder.record.exists()]
    outcome.require(len(finished) == 1, f"{what}: {len(finished)} records")
    for folder in finished:
        _check_run(outcome, expected, folder, what)


def _check_run(outcome: Outcome, expected: Undisturbed, folder: RunFolder, what: str) -> None:
    record = read_record(folder)
    assert record is not None
    outcome.require(_digest(folder.weights) == expected.weights, f"{what}: other weights")
    outcome.require(record.metrics == expected.metrics, f"{what}: other metrics")
    train = record.phases.get("train")
    outcome.require(train is not None and train.items == expected.frames, f"{what}: the cost of the training is lost")
    left = [file.name for file in (*folder.path.glob(".*.*"), folder.failure) if file.exists()]
    outcome.require(not left, f"{what}: {', '.join(left)} is left")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

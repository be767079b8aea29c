"""Runs that were started and have not finished: their experiments, progress and remaining time."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically
from benchmarks.experiments.experiment import Experiment
from benchmarks.parsing import parse_json

from .folder import RunFolder, run_folders, text_of
from .record import Record, parse_experiment, to_json
from .store import leave_out, load_records


class UnfinishedRun(NamedTuple):
    """A run that was started and has not finished.

    Attributes:
        state: "running", "failed" or "stopped".
        detail: its progress, or the error.
        share: the fraction of its epochs that have ended.
        left: seconds for the remaining epochs, if each takes as long as the last; None if unknown.
    """

    folder: RunFolder
    experiment: Experiment
    state: str
    detail: str
    share: float = 0.0
    left: float | None = None

    def __str__(self) -> str:
        return f"{self.folder.path.name}, {self.state}: {self.detail}"


def start_run(folder: RunFolder, experiment: Experiment, code: str | None) -> None:
    """Write the experiment to the folder, with the digest of the code that runs it."""
    shutil.rmtree(_early_failure_folder(folder.path.parent, experiment).path, ignore_errors=True)
    write_atomically(folder.settings, to_json({**asdict(experiment), "code": code}))


def note_early_failure(results_dir: Path, experiment: Experiment, line: str) -> None:
    """Note that a run failed before it had read its data and weights. The note is removed when the run starts."""
    folder = _early_failure_folder(results_dir, experiment)
    start_run(folder, experiment, None)
    write_atomically(folder.failure, line)


def _early_failure_folder(results_dir: Path, experiment: Experiment) -> RunFolder:
    """A run's own folder is not known before its data and weights are: the digests are part of the name."""
    return RunFolder(results_dir / f"{experiment.name.rpartition('-')[0]}-not-started-{experiment.request_hash[:10]}")


def starting_code(folder: RunFolder) -> str | None:
    """The digest of the code that started the run in the folder; None where no run was started.

    Raises:
        UserError: the file that says so is damaged.
    """
    started = _read_started(folder)
    return None if started is None else str(started["code"])


def started_experiments(results_dir: Path) -> Iterator[tuple[RunFolder, Experiment]]:
    """The runs that were started, finished or not, by name. A damaged one is left out, with a line on stderr."""
    for folder in run_folders(results_dir):
        experiment = _experiment(folder)
        if experiment is not None:
            yield folder, experiment


def _read_started(folder: RunFolder) -> dict[str, Any] | None:
    try:
        values = parse_json(folder.settings.read_bytes(), "its text")
        return {"code": values.pop("code"), "experiment": values}
    except FileNotFoundError:
        return None
    except (OSError, UserError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder.settings}: not the experiment of a run ({type(error).__name__}: {error}); --fresh makes it again"
        ) from error


def _experiment(folder: RunFolder) -> Experiment | None:
    try:
        started = _read_started(folder)
        return None if started is None else parse_experiment(started["experiment"], folder.settings)
    except UserError as error:
        leave_out(error)
        return None


def unfinished_runs(results_dir: Path) -> list[UnfinishedRun]:
    """The runs that were started and have not finished, by name."""
    runs = []
    for folder in run_folders(results_dir, unfinished=True):
        experiment = _experiment(folder)
        if experiment is None:
            continue
        (detail, share), left = _progress(folder, experiment), _seconds_left(folder, experiment)
        if folder.is_locked:
            state = "running"
        elif folder.record.exists():  # it has finished since, and then freed the lock
            continue
        else:
            failure = text_of(folder.failure)
            state, detail = ("failed", failure) if failure else ("stopped", detail)
        runs.append(UnfinishedRun(folder, experiment, state, detail, share, left))
    return runs


def all_runs(results_dir: Path) -> tuple[list[Record], list[UnfinishedRun]]:
    """The records of the finished runs, and the runs that have not finished.

    The latter are read first: a run that finishes meanwhile is then in both lists, and not in neither.
    """
    not_finished = unfinished_runs(results_dir)
    return load_records(results_dir), not_finished


def _progress(folder: RunFolder, experiment: Experiment) -> tuple[str, float]:
    """The progress of a run, in words and as a fraction of its epochs."""
    lines = text_of(folder.curves).split("\n")[:-1]  # without a half-written line
    if folder.weights.exists():
        return "trained, not evaluated", 1.0
    if not lines:
        return "no epoch ended", 0.0
    try:
        epoch, epochs = parse_json(lines[-1], folder.curves)["epoch"], experiment.settings["epochs"]
        return f"epoch {epoch} of {epochs}", epoch / epochs
    except (UserError, KeyError, TypeError, ArithmeticError):
        return f"{folder.curves.name} is damaged", 0.0


def _seconds_left(folder: RunFolder, experiment: Experiment) -> float | None:
    """Estimated from the times at which the last two epochs ended, in the log."""
    log = text_of(folder.log)
    ends = re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) epoch (\d{1,9}) ", log, re.MULTILINE)[-2:]
    if len(ends) < 2 or int(ends[1][1]) != int(ends[0][1]) + 1:
        return None
    try:
        before, last = (datetime.fromisoformat(time) for time, _ in ends)
    except ValueError:  # digits that are no time
        return None
    return (last - before).total_seconds() * (experiment.settings["epochs"] - int(ends[1][1]))

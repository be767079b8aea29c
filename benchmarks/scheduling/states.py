"""The state of planned experiments, from the files of the runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.loading import known_digests, why_unavailable
from benchmarks.runs.record import Record
from benchmarks.runs.staleness import stale_reasons
from benchmarks.runs.unfinished import UnfinishedRun, all_runs
from benchmarks.suites.suite import Planned
from benchmarks.wording import format_duration

from .estimate import estimate_seconds, on_device_of_last_training

DONE = "done"


@dataclass(frozen=True)
class State:
    """The state of one experiment.

    Attributes:
        name: done, stale, running, failed, stopped, data set absent or not run; with the queue also queued or preempted.
        detail: the run's progress, or the reason for the state.
        record: that of a run that is done or stale.
    """

    name: str
    detail: str = ""
    record: Record | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name


FindStates = Callable[[Sequence[Planned]], list[State]]  # gives the states of planned experiments


def find_in_results(results: Path, root: Path | None = None) -> FindStates:
    """A function that finds the states of planned experiments in a folder of runs. The folder is read once, now.

    Args:
        root: the data set's folder, as `--root` names it.
    """
    finished, not_finished = all_runs(results)
    digests: dict[str, set[str]] = {}
    absent: dict[str, str | None] = {}
    known: dict[str, State] = {}

    def find(planned: Sequence[Planned]) -> list[State]:
        nonlocal known
        digests_before = len(digests)
        for experiment in (each.experiment for each in planned):
            for name, split in ((experiment.dataset, experiment.split), (experiment.test, experiment.test_split)):
                if f"{name}/{split}" not in digests:
                    digests[f"{name}/{split}"] = known_digests(name, split)
                    absent[name] = why_unavailable(name, root)
        if len(digests) > digests_before:
            available = {key: value for key, value in digests.items() if value}
            known = states_by_request(finished, not_finished, available)
        return states_of(planned, known, {name: reason for name, reason in absent.items() if reason})

    return find


def find_in_records(finished: Sequence[Record]) -> FindStates:
    """A function that finds the states of planned experiments in records alone. Each is done, whatever code made it."""
    known = {record.experiment.request_hash: State(DONE, record=record) for record in finished}
    return lambda planned: states_of(planned, known, {})


def states_of(planned: Sequence[Planned], known: Mapping[str, State], absent: Mapping[str, str]) -> list[State]:
    """The state of each planned experiment.

    Args:
        known: the states of experiments that left files, by request hash.
        absent: by data set, why it cannot be read here.
    """
    return [known.get(each.experiment.request_hash) or _without_files(each, absent) for each in planned]


def _without_files(planned: Planned, absent: Mapping[str, str]) -> State:
    for name in (planned.experiment.dataset, planned.experiment.test):
        if name in absent:
            return State("data set absent", absent[name])
    return State("not run")


def states_by_request(
    finished: Sequence[Record], not_finished: Sequence[UnfinishedRun], digests: Mapping[str, set[str]]
) -> dict[str, State]:
    """The state of each experiment that left files, by its request hash.

    Args:
        finished, not_finished: from `all_runs`.
        digests: of the data here, as `stale_reasons` takes them.
    """
    known: dict[str, State] = {}
    comparable, _ = on_device_of_last_training(finished)
    for run in not_finished:
        known[run.experiment.request_hash] = State(run.state, run.detail + _time_left(run, comparable))
    for record in sorted(finished, key=lambda record: record.finished):
        reasons = stale_reasons(record, dict(digests))
        request = record.experiment.request_hash
        state = State("stale", "; ".join(reasons), record) if reasons else State(DONE, record=record)
        if state.name == DONE or request not in known or known[request].name == "stale":
            known[request] = state
    return known


def _time_left(run: UnfinishedRun, finished: Sequence[Record]) -> str:
    if run.state != "running":
        return ""
    seconds = estimate_seconds(run.experiment, finished)
    left = run.left if seconds is None else seconds * (1 - run.share)  # without similar runs: by its own epochs
    return "" if left is None else f", about {format_duration(left)} left"

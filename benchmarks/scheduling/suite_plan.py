"""The plan of a suite: the state of each experiment, and how long the missing ones will take. Export of those that are done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import Experiment
from benchmarks.paths import results_dir
from benchmarks.runs.exchange import export_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Record
from benchmarks.runs.store import load_records
from benchmarks.suites.suite import Planned
from benchmarks.wording import format_duration, number_of

from .estimate import estimate_in_turn, measured_note, measured_seconds, on_device, on_device_of_last_training
from .preflight import counts_notes, missing_attributes, missing_weights
from .queue import find_in_results_and_queue
from .selection import Selection
from .states import DONE, State, find_in_results


@dataclass(frozen=True)
class SuitePlan:
    """The experiments of a suite, their states, and about how many seconds each will take.

    Attributes:
        seconds: None for an experiment that is done, or if no similar one has run.
        measured: about how many seconds each experiment that has none of these takes on the GPU of `measured_gpu`; None where
            nothing like it was measured there.
        gpu: whether the seconds are for runs on a GPU.
        seconds_of: estimates the seconds of further runs in the same way.
        notes: whether times come from committed runs; the data sets whose counts are not the published ones, as far as
            they were read here; and the attributes and weights that are missing here.
    """

    planned: list[Planned]
    states: list[State]
    seconds: list[float | None]
    measured: list[float | None]
    gpu: bool
    seconds_of: Callable[[Sequence[Experiment]], list[float | None]]
    notes: list[str]

    @property
    def summary(self) -> str:
        """How many experiments are missing, and how long they will take."""
        missing = [each for each, state in zip(self.seconds, self.states, strict=True) if state.name != DONE]
        known = [seconds for seconds in missing if seconds is not None]
        text = f"{number_of(len(self.states), 'experiment')}, {len(self.states) - len(missing)} done, {len(missing)} to run"
        if known:
            gpu_hours = f" on a GPU, {sum(known) / 3600:.1f} GPU hours" if self.gpu else ""
            text += f": about {format_duration(sum(known))} one after the other{gpu_hours}, by recorded frames/s"
        unknown = [
            planned.experiment
            for planned, state, seconds in zip(self.planned, self.states, self.seconds, strict=True)
            if state.name != DONE and seconds is None
        ]
        if not unknown:
            return text
        remedy = "no similar run has finished here; run one, and plan again"
        return f"{text}; {len(unknown)} of unknown time: {remedy}{measured_note(unknown)}"


def plan_suite(selection: Selection, committed: Sequence[Record]) -> SuitePlan:
    """The plan of a selection, from the results directory and the queue.

    Args:
        committed: the runs in results/measured, whose speed is used as long as no similar run has finished here.
    """
    planned = selection.experiments()
    states = find_in_results_and_queue(selection.root)(planned)
    here, gpu = on_device_of_last_training(load_records(results_dir()))
    missing = [each.experiment for each, state in zip(planned, states, strict=True) if state.name != DONE]
    done = [each.experiment for each, state in zip(planned, states, strict=True) if state.name == DONE]
    seconds_of = partial(estimate_in_turn, records=here)
    estimates = seconds_of(missing, done=done)
    elsewhere = [] if gpu else on_device(committed, gpu=False)
    from_elsewhere = bool(elsewhere) and None in estimates
    if from_elsewhere:
        seconds_of = partial(estimate_in_turn, records=[*here, *elsewhere])
        estimates = seconds_of(missing, done=done)
    waiting_times = iter(estimates)
    seconds = [None if state.name == DONE else next(waiting_times) for state in states]
    measured = [
        measured_seconds(each.experiment) if state.name != DONE and known is None else None
        for each, state, known in zip(planned, states, seconds, strict=True)
    ]
    notes = []
    if from_elsewhere and any(seconds):
        machines = " or ".join(sorted({record.environment.cpu for record in elsewhere}))
        notes.append(f"no similar run has finished here yet; times are by the runs in results/measured ({machines})")
    notes += counts_notes(selection)
    waiting = [each for each, state in zip(planned, states, strict=True) if state.name != DONE]
    notes += missing_attributes(waiting, selection.root)
    notes += missing_weights(selection.settings_of(waiting))
    return SuitePlan(planned, states, seconds, measured, gpu, seconds_of, notes)


def finished(selection: Selection) -> list[Record]:
    """The finished and current runs of a selection; the queue cannot change what is done."""
    states = find_in_results(results_dir(), selection.root)(selection.experiments())
    return [state.record for state in states if state.name == DONE and state.record is not None]


def export_finished(selection: Selection, to: Path) -> tuple[int, int]:
    """Write the finished and current runs of a selection to one file. Returns their number, and that of all experiments.

    Raises:
        UserError: there are none.
    """
    done = finished(selection)
    if not done:
        name = selection.name
        raise UserError(f"no finished and current runs of {name} in {results_dir()}; `bench plan {name}` shows why")
    exported = export_runs([(RunFolder(results_dir() / record.name), record) for record in done], to)
    return exported, len(selection.experiments())

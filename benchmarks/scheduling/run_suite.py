"""Run a suite on this machine: one `bench run` after the other, each in its own process.

So each run has its own threads and memory, and a run that crashes does not end the others.
"""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from benchmarks.paths import results_dir
from benchmarks.runs.store import load_records
from benchmarks.runs.unfinished import note_early_failure, started_experiments
from benchmarks.suites.suite import Planned

from .estimate import estimate_in_turn, on_device_of_last_training
from .queue import ACTIVE, find_in_results_and_queue
from .selection import Selection, title
from .states import DONE, State
from .tasks import BENCH

PREFIX = "bench: "  # of the line in which `bench` says what went wrong


class Outcome(NamedTuple):
    """The outcome of one experiment.

    Attributes:
        status: "done", "failed" or "skipped".
        reason: why it failed or was skipped.
        was_done: whether there was nothing to run.
        seconds_left: about how long the experiments after it will take; 0 if that is unknown.
    """

    planned: Planned
    status: str
    reason: str = ""
    was_done: bool = False
    seconds_left: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.status == DONE

    @property
    def title(self) -> str:
        return title(self.planned)


def run_suite(selection: Selection) -> Iterator[Outcome]:
    """Run the experiments of a selection that are not done; yields each outcome. A failed run does not stop the others.

    Raises:
        KeyboardInterrupt: a signal asked to stop, and the current run has saved its state.
    """
    planned = selection.experiments()
    states = find_in_results_and_queue(selection.root)(planned)
    done = [each for each, state in zip(planned, states, strict=True) if state.name == DONE]
    for number, (each, state) in enumerate(zip(planned, states, strict=True), 1):
        outcome = _run_if_missing(each, state)
        if outcome.was_done:
            yield outcome
            continue
        done += [each] if outcome.is_done else []
        later = zip(planned[number:], states[number:], strict=True)
        left = [one for one, its_state in later if its_state.name != DONE]
        yield outcome._replace(seconds_left=_estimate_all(left, done))


def summarize(outcomes: Sequence[Outcome], total: int) -> str:
    """`2 of 6 done (1 of them before), 1 failed, 3 skipped`."""
    counts = Counter(outcome.status for outcome in outcomes)
    before = sum(outcome.was_done for outcome in outcomes)
    return f"{counts[DONE]} of {total} done ({before} of them before), {counts['failed']} failed, {counts['skipped']} skipped"


def _run_if_missing(planned: Planned, state: State) -> Outcome:
    if state.name == DONE:
        return Outcome(planned, DONE, was_done=True)
    if state.name in ("data set absent", *ACTIVE):
        return Outcome(planned, "skipped", str(state))
    fresh = ("--fresh",) if state.name == "stale" else ()
    status, line = _bench((*planned.arguments, *fresh))
    if status == 0:
        return Outcome(planned, DONE)
    reason = line or f"exit status {status}"
    # A run that fails before its data and weights are known has no folder in which it could write down the reason.
    results, request = results_dir(), planned.experiment.request_hash
    if all(
        folder.failed_empty or experiment.request_hash != request for folder, experiment in started_experiments(results)
    ):
        note_early_failure(results, planned.experiment, reason)
    return Outcome(planned, "failed", reason)


def _estimate_all(planned: Sequence[Planned], done: Sequence[Planned]) -> float:
    """About how many seconds these take, by recorded runs; those of which nothing is known are left out."""
    recorded, _ = on_device_of_last_training(load_records(results_dir()))
    left, finished = ([each.experiment for each in some] for some in (planned, done))
    return sum(filter(None, estimate_in_turn(left, recorded, finished)))


def _bench(arguments: Sequence[str]) -> tuple[int, str]:
    """The exit status of `bench ARGUMENTS` and its last error message. Its standard error is passed on."""
    message = ""
    with subprocess.Popen([*BENCH, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        with _signals_forwarded(child):
            assert child.stderr is not None
            for line in child.stderr:
                print(f"  {line}", end="", file=sys.stderr, flush=True)
                message = line.removeprefix(PREFIX).strip() if line.startswith(PREFIX) else message
        status = child.wait()
    if status in (130, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt(message)
    return status, message


@contextmanager
def _signals_forwarded(child: subprocess.Popen[str]) -> Iterator[None]:
    """While a run is active, forward a request to stop to it: the run saves its state and ends, and then the suite ends.

    Ctrl-C on a terminal reaches the run anyway; a signal that is sent to this process alone does not.
    """

    def forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        child.send_signal(signal.SIGTERM)

    handlers = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

"""A suite run on this machine: one `bench run` after the other, each in a process of its own.

So each run has its own threads and memory, and one that dies takes no other with it.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from benchmarks.paths import results_dir
from benchmarks.runs import records
from benchmarks.runs.unfinished import begun_in
from benchmarks.suites.suite import Planned

from .queue import BUSY
from .states import DONE, State

BENCH = (sys.executable, "-m", "benchmarks.cli")
MARK = "bench: "  # begins the line by which `bench` explains what went wrong


class Outcome(NamedTuple):
    """What became of an experiment. word: done, failed or skipped; reason: of the last two."""

    planned: Planned
    word: str
    reason: str = ""


def run_missing(planned: Sequence[Planned], states: Sequence[State]) -> Iterator[Outcome]:
    """Run what is not done; yields an outcome for each experiment, as it is known. Goes on after a failed one.

    Raises:
        KeyboardInterrupt: once the run under way has saved its state.
    """
    for each, state in zip(planned, states, strict=True):
        if state.word == DONE:
            yield Outcome(each, DONE)
        elif state.word in ("data set absent", *BUSY):
            yield Outcome(each, "skipped", str(state))
        else:
            fresh = ("--fresh",) if state.word == "stale" else ()
            status, line = _run((*each.arguments, *fresh))
            if status == 0:
                yield Outcome(each, DONE)
                continue
            reason = line or f"exit status {status}"
            # A run that fails before it knows its data and weights has no folder in which it could say so.
            place, request = results_dir(), each.experiment.request_hash
            if all(folder.hollow or begun.request_hash != request for folder, begun in begun_in(place)):
                records.fail(place, each.experiment, reason)
            yield Outcome(each, "failed", reason)


def _run(arguments: Sequence[str]) -> tuple[int, str]:
    """The status of `bench ARGUMENTS` and its last explanation; what it says on the way is passed on."""
    line = ""
    with subprocess.Popen([*BENCH, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        with _patience(child):
            assert child.stderr is not None
            for said in child.stderr:
                print(f"  {said}", end="", file=sys.stderr, flush=True)
                line = said.removeprefix(MARK).strip() if said.startswith(MARK) else line
        status = child.wait()
    if status in (130, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt(line)
    return status, line


@contextmanager
def _patience(child: subprocess.Popen[str]) -> Iterator[None]:
    """While a run is under way, a signal to stop is the run's: it saves its state and ends, and the suite after it.

    Ctrl-C at a terminal reaches the run by itself; a signal to this process alone does not.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

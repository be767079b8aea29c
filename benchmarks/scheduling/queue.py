"""Where experiments stand when they were submitted: their own records first, the queue second."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.suites.suite import Planned
from slurm.ledger import Entry, Ledger
from slurm.queue import Live

from .states import DONE, Look, State

# What a log says besides: of its start, and how far it has come.
NO_REASON = re.compile(r"submitit \w+ \(|\w+: \d+ of \d+")
BUSY = ("queued", "running", "preempted")  # not to be submitted again


def with_jobs(look: Look, ledger: Ledger, jobs: Mapping[str, Live] | None) -> Look:
    """A function as `states.here` gives it, whose states are mended by what the queue said of the jobs (None: nothing)."""
    entries = ledger.entries()

    def mended(planned: Sequence[Planned]) -> list[State]:
        return [
            with_queue(state, entries.get(each.experiment.request_hash), jobs, ledger.place)
            for each, state in zip(planned, look(planned), strict=True)
        ]

    return mended


def with_queue(state: State, entry: Entry | None, jobs: Mapping[str, Live] | None, place: Path) -> State:
    """A state by records, mended by what the queue says of the experiment's job.

    Args:
        state: by records alone.
        entry: the last submission of the experiment.
        jobs: what is not over, by job; None: the queue does not answer.
        place: the ledger's folder.
    """
    if entry is None or not entry.job or state.word in (DONE, "running"):
        if state.word == "running" and entry is not None and jobs and entry.job in jobs and jobs[entry.job].left:
            return replace(state, detail=f"{state.detail}; {jobs[entry.job].left} of the time limit left")
        return state
    if jobs is None:
        word = "queued" if state.word == "not run" else state.word
        return replace(state, word=word, detail="; ".join(filter(None, (state.detail, "the queue does not answer"))))
    job = jobs.get(entry.job)
    if job is None:
        if state.word == "stale":
            return state
        logs = [file.read_text(errors="replace").splitlines() for file in entry.logs(place)]
        # Of several processes one that is killed says nothing, and the others speak of the connection that they lost.
        killed = next((line for lines in logs for line in lines if line.startswith("ended by SIGKILL")), "")
        if state.word == "failed":
            return replace(state, detail=killed or state.detail)
        return State("failed", killed or _last_line(logs) or "its job ended without a word")
    if job.word == "running":
        return State("running", state.detail or "its job has begun")
    begun = state.word == "stopped"
    return State("preempted" if begun else "queued", "; ".join(filter(None, (state.detail * begun, job.why))))


def _last_line(logs: Sequence[Sequence[str]]) -> str:
    """The last thing that a job's command complained of, or the job itself: what stands before submitit's own report."""
    for lines in reversed(logs):
        ends = [number for number, line in enumerate(lines) if line.startswith("submitit ERROR")]
        said = [line for line in lines[: ends[-1] if ends else None] if line.strip() and not NO_REASON.match(line)]
        if said:
            return said[-1].removeprefix("bench: ").strip()
    return ""

"""The state of submitted experiments: from the files of the runs first, then from the queue."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.paths import results_dir
from benchmarks.suites.suite import Planned
from slurm import JobError
from slurm.ledger import Ledger, LedgerEntry
from slurm.queue import ActiveJob, active_jobs

from .states import DONE, FindStates, State, find_in_results

# Lines of a log that are no error messages: of submitit's start, and of progress.
NO_ERROR = re.compile(r"submitit \w+ \(|\w+: \d+ of \d+")
ACTIVE = ("queued", "running", "preempted")  # not submitted or run a second time


def find_in_results_and_queue(root: Path | None = None) -> FindStates:
    """A function that finds the states of planned experiments in the results directory and the queue. Both are read now."""
    ledger = Ledger(results_dir())
    return add_queue(find_in_results(results_dir(), root), ledger, jobs_in_queue(ledger))


def jobs_in_queue(ledger: Ledger) -> dict[str, ActiveJob] | None:
    """The ledger's jobs that are not over, by job id. None, with a line on standard error, if the queue does not answer."""
    try:
        return active_jobs(ledger.entries().values())
    except JobError as error:
        print(f"bench: {error}", file=sys.stderr)
        return None


def add_queue(find: FindStates, ledger: Ledger, jobs: Mapping[str, ActiveJob] | None) -> FindStates:
    """The function `find`, with its states corrected by the jobs in the queue (None: the queue does not answer)."""
    entries = ledger.entries()

    def find_with_queue(planned: Sequence[Planned]) -> list[State]:
        return [
            correct_by_queue(state, entries.get(each.experiment.request_hash), jobs, ledger.folder)
            for each, state in zip(planned, find(planned), strict=True)
        ]

    return find_with_queue


def correct_by_queue(
    state: State, entry: LedgerEntry | None, jobs: Mapping[str, ActiveJob] | None, ledger_folder: Path
) -> State:
    """The state of an experiment by its run's files, corrected by its job in the queue.

    Args:
        state: by the files alone.
        entry: the last submission of the experiment; None if it was never submitted.
        jobs: the jobs that are not over, by job id; None: the queue does not answer.
    """
    if entry is None or not entry.job or state.name == DONE:
        return state
    job = (jobs or {}).get(entry.job)
    if state.name == "running":
        left = job.time_left if job else ""
        return replace(state, detail=f"{state.detail}; {left} of the time limit left") if left else state
    if jobs is None:
        name = "queued" if state.name == "not run" else state.name
        return replace(state, name=name, detail="; ".join(filter(None, (state.detail, "the queue does not answer"))))
    if job is None:
        return _after_job(state, entry, ledger_folder)
    if job.state == "running":
        return State("running", state.detail or "the job has started")
    if state.name == "stopped":
        return State("preempted", "; ".join(filter(None, (state.detail, job.reason))))
    return State("queued", job.reason)


def _after_job(state: State, entry: LedgerEntry, ledger_folder: Path) -> State:
    """The state of an experiment whose job is over without a current record."""
    if state.name == "stale":
        return state
    logs = [file.read_text(errors="replace").splitlines() for file in entry.logs(ledger_folder)]
    # If one of several processes is killed, the others report only that they lost the connection.
    killed = next((line for lines in logs for line in lines if line.startswith("ended by SIGKILL")), "")
    if state.name == "failed":
        return replace(state, detail=killed or state.detail)
    return State("failed", killed or _last_error(logs) or "the job ended without an error message")


def _last_error(logs: Sequence[Sequence[str]]) -> str:
    """The last error message in the logs of a job: of its command, or of the job itself before submitit's own report."""
    for lines in reversed(logs):
        reports = [number for number, line in enumerate(lines) if line.startswith("submitit ERROR")]
        before_report = lines[: reports[-1] if reports else None]
        messages = [line for line in before_report if line.strip() and not NO_ERROR.match(line)]
        if messages:
            return messages[-1].removeprefix("bench: ").strip()
    return ""

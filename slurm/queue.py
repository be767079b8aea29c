"""What the queue knows of jobs now: Slurm's by squeue, this machine's by their processes. No accounting is needed."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from . import JobError
from .ledger import Entry

# What squeue leaves out unless asked: a job whose node failed, or that is being queued again, is not over.
STATES = (
    "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,REQUEUED,REQUEUE_HOLD,REQUEUE_FED,RESV_DEL_HOLD,"
    "NODE_FAIL,PREEMPTED,SIGNALING,STAGE_OUT,STOPPED"
)
RUNNING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "SUSPENDED", "STOPPED"}


class Live(NamedTuple):
    """A job that is not over. word: "queued" or "running"; left: of its time limit, as squeue spells it; why: it waits."""

    word: str
    left: str = ""
    why: str = ""


def live(entries: Iterable[Entry]) -> dict[str, Live]:
    """The jobs of these entries that are not over, by job.

    Raises:
        JobError: squeue does not answer.
    """
    entries = list(entries)
    found: dict[str, Live] = {}
    if any(entry.cluster == "slurm" and entry.job for entry in entries):
        found |= parsed(_ask("squeue", "--noheader", "--array", f"--states={STATES}", "--format=%i|%T|%L|%r"))
    for entry in entries:
        if _elsewhere(entry):
            found[entry.job] = Live("queued", why=f"on {entry.host}: only that machine knows; `bench run` does it here")
    pids = {entry.job for entry in entries if entry.cluster == "local" and entry.job and entry.job not in found}
    if pids:
        rows = [line.split(None, 2) for line in _ask("ps", "-wweo", "pid=,ppid=,args=").splitlines()]
        parent = {pid: above for pid, above, *_ in rows}
        # The job starts submitit, which starts the command once a lane is free.
        begun = {parent.get(above) for above in parent.values()}
        jobs = [pid for pid, _, *words in rows if pid in pids and "submitit" in "".join(words)]
        found |= {job: Live("running") if job in begun else Live("queued", why="no lane is free") for job in jobs}
    wanted = {entry.job for entry in entries}
    return {job: state for job, state in found.items() if job in wanted}


def parsed(text: str) -> dict[str, Live]:
    """What `squeue --format=%i|%T|%L|%r` printed, by job."""
    found = {}
    for line in text.splitlines():
        job, state, left, why = line.strip().split("|", 3)
        found[job] = Live("running", left) if state in RUNNING else Live("queued", why="" if why == "None" else why)
    return found


def longest_array() -> int:
    """How many jobs an array may have on this cluster; 1 where there are no arrays.

    Raises:
        JobError: scontrol does not answer.
    """
    said = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"), re.MULTILINE)
    return max(int(said[1]), 1) if said else 1


def cancel(entries: Iterable[Entry]) -> None:
    """End these jobs, whatever state they are in.

    Raises:
        JobError: one of them runs on another machine, outside Slurm.
    """
    entries = list(entries)
    for entry in entries:
        if _elsewhere(entry):
            raise JobError(f"{entry.title}: runs on {entry.host}, and must be cancelled there")
    jobs = [entry.job for entry in entries if entry.cluster == "slurm"]
    for first in range(0, len(jobs), 500):
        _ask("scancel", *jobs[first : first + 500])
    for entry in entries:
        if entry.cluster == "local":
            os.kill(int(entry.job), signal.SIGINT)  # submitit's controller ends what it started


def _elsewhere(entry: Entry) -> bool:
    """Whether the job, if there is one, belongs to another machine, outside Slurm."""
    return bool(entry.job) and entry.host not in ("", socket.gethostname())


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (FileNotFoundError, PermissionError):  # the second: PATH has a folder that this user may not read
        raise JobError(f"{words[0]}: not found; is this a machine of the cluster? --local needs none") from None
    except subprocess.TimeoutExpired:
        raise JobError(f"{words[0]} does not answer within a minute") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise JobError(f"{words[0]}: {lines[0] if lines else f'exit status {done.returncode}'}")
    return done.stdout

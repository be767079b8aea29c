"""The state of jobs: from squeue for Slurm, from the processes for this machine. No accounting is needed."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from . import JobError
from .ledger import LedgerEntry

# squeue leaves some of these out unless asked: a job whose node failed, or that is being queued again, is not over.
SLURM_STATES = (
    "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,REQUEUED,REQUEUE_HOLD,REQUEUE_FED,RESV_DEL_HOLD,"
    "NODE_FAIL,PREEMPTED,SIGNALING,STAGE_OUT,STOPPED"
)
RUNNING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "SUSPENDED", "STOPPED"}


class ActiveJob(NamedTuple):
    """A job that has not ended.

    Attributes:
        state: "queued" or "running".
        time_left: until its time limit, as squeue spells it.
        reason: why it is waiting.
    """

    state: str
    time_left: str = ""
    reason: str = ""


def active_jobs(entries: Iterable[LedgerEntry]) -> dict[str, ActiveJob]:
    """The jobs of these entries that are not over, by job id.

    Raises:
        JobError: squeue does not answer.
    """
    entries = list(entries)
    active: dict[str, ActiveJob] = {}
    if any(entry.cluster == "slurm" and entry.job for entry in entries):
        active |= parse_squeue(
            _call("squeue", "--noheader", "--array", f"--states={SLURM_STATES}", "--format=%i|%T|%L|%r")
        )
    for entry in entries:
        if _on_another_host(entry):
            reason = f"on {entry.host}: only that machine knows; `bench run` does it here"
            active[entry.job] = ActiveJob("queued", reason=reason)
    pids = {entry.job for entry in entries if entry.cluster == "local" and entry.job and entry.job not in active}
    if pids:
        active |= _local_jobs(pids)
    jobs = {entry.job for entry in entries}
    return {job: state for job, state in active.items() if job in jobs}


def _local_jobs(pids: set[str]) -> dict[str, ActiveJob]:
    """The jobs of this machine that are not over: a job starts submitit, which starts the command once a slot is free."""
    processes = [line.split(None, 2) for line in _call("ps", "-wweo", "pid=,ppid=,args=").splitlines()]
    parent = {pid: parent for pid, parent, *_ in processes}
    with_command = {parent.get(each) for each in parent.values()}
    jobs = [pid for pid, _, *words in processes if pid in pids and "submitit" in "".join(words)]
    waiting = ActiveJob("queued", reason="no slot is free")
    return {job: ActiveJob("running") if job in with_command else waiting for job in jobs}


def parse_squeue(text: str) -> dict[str, ActiveJob]:
    """The jobs in the output of `squeue --format=%i|%T|%L|%r`, by job id."""
    jobs = {}
    for line in text.splitlines():
        job, state, time_left, reason = line.strip().split("|", 3)
        waiting = ActiveJob("queued", reason="" if reason == "None" else reason)
        jobs[job] = ActiveJob("running", time_left) if state in RUNNING else waiting
    return jobs


def max_array_size() -> int:
    """The largest number of jobs that an array may have on this cluster; 1 if it has no arrays.

    Raises:
        JobError: scontrol does not answer.
    """
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _call("scontrol", "show", "config"), re.MULTILINE)
    return max(int(match[1]), 1) if match else 1


def cancel(entries: Iterable[LedgerEntry]) -> None:
    """End these jobs, whatever state they are in.

    Raises:
        JobError: one of them runs on another machine, without Slurm.
    """
    entries = list(entries)
    for entry in entries:
        if _on_another_host(entry):
            raise JobError(f"{entry.title}: runs on {entry.host}; cancel it there")
    jobs = [entry.job for entry in entries if entry.cluster == "slurm"]
    for first in range(0, len(jobs), 500):
        _call("scancel", *jobs[first : first + 500])
    for entry in entries:
        if entry.cluster == "local":
            os.kill(int(entry.job), signal.SIGINT)  # submitit's controller ends what it started


def _on_another_host(entry: LedgerEntry) -> bool:
    """Whether the entry's job, if it has one, is a process of another machine."""
    return bool(entry.job) and entry.host not in ("", socket.gethostname())


def _call(*words: str) -> str:
    """The output of a program.

    Raises:
        JobError: it is not installed, fails, or does not end within a minute.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (FileNotFoundError, PermissionError):  # the second: this user may not read a folder in PATH
        raise JobError(f"{words[0]}: not found; run this on a machine of the cluster, or add --local") from None
    except subprocess.TimeoutExpired:
        raise JobError(f"{words[0]} does not answer within a minute") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise JobError(f"{words[0]}: {lines[0] if lines else f'exit status {done.returncode}'}")
    return done.stdout

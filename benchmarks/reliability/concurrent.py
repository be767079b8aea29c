"""Many processes at once: they finish into one folder, start the same run, and draw into one cache, while others read."""

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.runs.store import load_records

from .child import Child, Folders, start
from .outcome import RUN, TABLE, Outcome, Undisturbed, check

UNTRAINED = (*RUN, "--epochs", "0")
NEW_PID_NAMESPACE = 0x20000000  # CLONE_NEWPID, as linux/sched.h numbers it
NO_RUNS = "no finished runs"
READERS = 2  # at a time


def in_turn(number: int) -> Callable[[], object]:
    """What a process does first: of root's, every other one enters a pid namespace of its own, as in containers."""
    return enter_pid_namespace if number % 2 and not os.geteuid() else int


def read_while(children: Sequence[Child], here: Folders, outcome: Outcome) -> None:
    """Two `bench table` at a time read the folder, again and again, until all of these processes have ended."""
    while any(child.is_running for child in children):
        for reader in [start(TABLE, here, in_turn(number)) for number in range(READERS)]:
            status = reader.finish()
            outcome.count("reads")
            fine = status == 0 or NO_RUNS in reader.last_line
            outcome.require(fine and "left out" not in "\n".join(reader.lines), f"a reader: {reader.last_line}")


def finish_at_once(processes: int, folder: Path) -> Outcome:
    """Processes that finish different runs in one folder, while others read it."""
    outcome = Outcome("runs that finish into one folder", tried=processes)
    here = Folders(folder / "finish" / "runs", folder / "finish-cache")
    start(UNTRAINED, Folders(folder / "first" / "runs", here.cache)).finish()  # draws the data
    writers = [start((*UNTRAINED, "--seed", str(seed)), here, in_turn(seed)) for seed in range(processes)]
    read_while(writers, here, outcome)
    for writer in writers:
        outcome.require(writer.finish() == 0, f"a writer: {writer.last_line}")
    found = len(load_records(here.results))
    outcome.require(found == processes, f"{found} records of {processes} runs")
    return outcome


def start_same_run(expected: Undisturbed, processes: int, folder: Path) -> Outcome:
    """Processes that start the same run: one runs it, the others wait for it or say that it is running."""
    outcome = Outcome("starts of one run", tried=processes)
    here = Folders(folder / "same" / "runs", folder / "same-cache")
    start(UNTRAINED, Folders(folder / "first" / "runs", here.cache)).finish()
    children = [start(RUN, here, in_turn(number)) for number in range(processes)]
    read_while(children, here, outcome)
    statuses = [child.finish() for child in children]
    outcome.require(0 in statuses, "no process finishes the run")
    for child, status in zip(children, statuses, strict=True):
        outcome.count(f"exit status {status}")
        fine = status == 0 or "another process is running this experiment" in child.last_line
        outcome.require(fine, f"exit status {status}: {child.last_line}")
    check(outcome, expected, here, "the run")
    return outcome


def draw_at_once(processes: int, folder: Path) -> Outcome:
    """Processes that draw a data set into one empty cache."""
    return _draw(Outcome("processes that draw into one empty cache", tried=processes), folder / "draw", int)


def draw_in_pid_namespaces(processes: int, folder: Path) -> Outcome:
    """The same, each process in a pid namespace of its own, as in containers: all have the process id 1."""
    outcome = Outcome("the same, with equal process ids", tried=processes)
    if os.geteuid():
        return Outcome(outcome.what, skipped="needs root, for pid namespaces")
    return _draw(outcome, folder / "namespaces", enter_pid_namespace)


def _draw(outcome: Outcome, folder: Path, prepare: Callable[[], object]) -> Outcome:
    cache = folder / "cache"
    children = []
    for number in range(outcome.tried):
        words = (*UNTRAINED, "--seed", str(number))
        children.append(start(words, Folders(folder / "runs", cache), prepare))
    read_while(children, Folders(folder / "runs", cache), outcome)
    for child in children:
        outcome.require(child.finish() == 0, f"exit status {child.status}: {child.last_line}")
    half = [path.name for path in cache.rglob(".*") if path.name.endswith(".half") or path.suffix[1:].isdigit()]
    outcome.require(not half, f"left half-written: {', '.join(half)}")
    digests = {record.experiment.data for record in load_records(folder / "runs")}
    outcome.require(len(digests) == 1, f"{len(digests)} digests of one data set")
    return outcome


def enter_pid_namespace() -> None:
    """Go on as process 1 of a new pid namespace; this process waits for it and passes its exit status on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_PID_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare")
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)

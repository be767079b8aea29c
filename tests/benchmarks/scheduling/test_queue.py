"""The state of submitted experiments: records first, then the queue."""

import pytest

from benchmarks.scheduling.queue import correct_by_queue
from benchmarks.scheduling.states import State
from slurm.ledger import LedgerEntry
from slurm.queue import ActiveJob

ENTRY = LedgerEntry("key", "title", "7_1", "slurm", "batches/x", "2026-01-01")
STOPPED = State("stopped", "epoch 3 of 9")
RUNNING, PENDING = {"7_1": ActiveJob("running", "0:59:00")}, {"7_1": ActiveJob("queued", reason="Priority")}


@pytest.mark.parametrize(
    ("by_records", "queue", "expected"),
    [
        (State("not run"), PENDING, State("queued", "Priority")),
        (State("not run"), RUNNING, State("running", "the job has started")),
        (STOPPED, PENDING, State("preempted", "epoch 3 of 9; Priority")),
        (STOPPED, RUNNING, State("running", "epoch 3 of 9")),
        (State("failed", "bad data"), PENDING, State("queued", "Priority")),  # it was tried again
        (State("failed", "bad data"), {}, State("failed", "bad data")),
        (State("done"), RUNNING, State("done")),  # the job is about to end
        (State("done"), None, State("done")),
        (State("running", "epoch 3"), RUNNING, State("running", "epoch 3; 0:59:00 of the time limit left")),
        (State("running", "epoch 3"), None, State("running", "epoch 3")),
        (State("not run"), None, State("queued", "the queue does not answer")),
        (STOPPED, None, State("stopped", "epoch 3 of 9; the queue does not answer")),
        (State("stale", "made by other code"), {}, State("stale", "made by other code")),
        (State("stale", "made by other code"), PENDING, State("queued", "Priority")),
        (STOPPED, {}, State("failed", "the job ended without an error message")),
    ],
)
def test_records_precede_the_queue(by_records, queue, expected, tmp_path):
    assert correct_by_queue(by_records, ENTRY, queue, tmp_path) == expected


REPORT = "submitit ERROR (now) - Submitted job triggered an exception\nTraceback\nRuntimeError: exit status 2\n"


@pytest.mark.parametrize(
    ("complained", "expected"),
    [
        (f"bench: mean, seed 0\nbench: mars: no folder\n{REPORT}srun: error: n1: task 0: Exited\n", "mars: no folder"),
        (f"bench: mean, seed 0\nended by SIGKILL 3 times\n\n{REPORT}", "ended by SIGKILL 3 times"),
        (f"Traceback\nImportError: no torch\n{REPORT}", "ImportError: no torch"),
        (f"bench: an old one\n{REPORT}bench: mean, seed 0\nbench: the last\n{REPORT}", "the last"),
        ("bench: mean, seed 0\nslurmstepd: error: CANCELLED\n", "slurmstepd: error: CANCELLED"),
        ("", "of the other file"),
    ],
)
def test_failed_job_shows_its_last_error(complained, expected, tmp_path):
    folder = tmp_path / ENTRY.folder
    folder.mkdir(parents=True)
    (folder / "7_1_0_log.err").write_text(complained)
    (folder / "7_1_0_log.out").write_text("of the other file\n")
    assert correct_by_queue(State("not run"), ENTRY, {}, tmp_path) == State("failed", expected)


def test_killed_process_is_the_reason(tmp_path):
    folder = tmp_path / ENTRY.folder
    folder.mkdir(parents=True)
    (folder / "7_1_0_log.err").write_text("srun: error: n1: task 0: Killed\nended by SIGKILL 3 times\n")
    (folder / "7_1_1_log.err").write_text("RuntimeError: Connection closed by peer\n")
    lost = State("failed", "RuntimeError: Connection closed by peer")  # what another process reported of it
    for by_records in (State("not run"), lost):
        assert correct_by_queue(by_records, ENTRY, {}, tmp_path) == State("failed", "ended by SIGKILL 3 times")

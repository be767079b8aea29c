"""Which jobs exist, and in which state they are: the ledger and the queue, with a squeue that the tests write."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.runs.exchange import exported_records
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import write_record
from slurm import JobError, queue, resources
from slurm.job_command import JobCommand
from slurm.ledger import Ledger, LedgerEntry
from slurm.snapshot import snapshot
from slurm.submission import available_gpus, local_slots


def entry(key: str, job: str = "1", cluster: str = "slurm") -> LedgerEntry:
    return LedgerEntry(key, f"title of {key}", job, cluster, "batches/x", "2026-01-01")


def test_ledger_ignores_an_incomplete_line(tmp_path):
    ledger = Ledger(tmp_path)
    assert ledger.entries() == {}
    with ledger.lock():
        ledger.add([entry("a"), entry("b", "2")])
        ledger.add([entry("a", "7_3")])
        with open(ledger.file, "a") as file:
            file.write('{"key": "c", "ti')
    assert {key: each.job for key, each in ledger.entries().items()} == {"a": "7_3", "b": "2"}


DAMAGED = (
    b"{",
    b"[]",
    b"3",
    b'{"key": "a"}',
    b"\xff\x00",
    b"[" * 10**5,
    b'{"clus\\rter": "a"}',
    b'{"key": {}, "title": "t"}',
    b"",
)


@pytest.mark.parametrize("line", [*DAMAGED, json.dumps({**asdict(entry("a", "8")), "job": 8}).encode()])
def test_damaged_line_of_the_ledger_loses_no_other(tmp_path, capsys, line):
    ledger = Ledger(tmp_path)
    with ledger.lock():
        ledger.add([entry("a", "1")])
        with open(ledger.file, "ab") as file:
            file.write(line + b"\n" + b'{"key": "c", "ti')  # and a write that was cut off
        ledger.add([entry("b", "2"), entry("d", "3")])
    for _ in range(2):
        assert {key: each.job for key, each in ledger.entries().items()} == {"a": "1", "b": "2", "d": "3"}
    said = capsys.readouterr().err.splitlines()
    assert [each.partition(": not the entry of a job")[0] for each in said] == [
        f"bench: left out: {ledger.file}, line {number}" for number in (2, 3)
    ]


def test_logs_of_one_job(tmp_path):
    ours = entry("a", "7_1")
    (tmp_path / ours.folder).mkdir(parents=True)
    for name in ("7_1_0_log.err", "7_1_0_log.out", "7_1_1_log.err", "7_11_0_log.err", "7_1_submitted.pkl"):
        (tmp_path / ours.folder / name).touch()
    assert [file.name for file in ours.logs(tmp_path)] == ["7_1_0_log.out", "7_1_0_log.err", "7_1_1_log.err"]


def test_ledger_lock(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.lock(), open(ledger.folder / "lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with ledger.lock():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_two_users_share_a_folder():
    (record, *_) = exported_records(Path(__file__).parents[2] / "results" / "measured" / "cues.parquet")
    group = 54321
    pd.DataFrame().to_parquet()  # imports modules that those users may not be allowed to read

    def use(place: Path, user: int) -> None:
        os.setgroups([group])
        os.setgid(group)
        os.setuid(user)
        os.umask(0o002)
        ledger, run = Ledger(place), RunFolder(place / "run")
        with ledger.lock():
            ledger.add([entry(str(user))])
            snapshot([], {"note": ""}, ledger.folder / "code")
        JobCommand(("true",), {}, local_slots(ledger.folder, resources.Resources(max_parallel=1)))()
        with run.lock():
            run.clear()
            run.curves.open("a").close()
            write_record(run, replace(record, peak_memory={"resident": user}), pd.DataFrame({"query": [user]}))

    with tempfile.TemporaryDirectory() as folder:  # unlike pytest's folders, others may enter it
        place = Path(folder)
        os.chown(place, -1, group)
        place.chmod(0o2775)
        for user in (60001, 60002, 60001):
            process = multiprocessing.get_context("fork").Process(target=use, args=(place, user))
            process.start()
            process.join()
            assert process.exitcode == 0
            assert json.loads((place / "run/record.json").read_text())["peak_memory"] == {"resident": user}
        assert set(Ledger(place).entries()) == {"60001", "60002"}


def test_active_jobs(programs):
    programs(
        "squeue",
        "printf '7_0|RUNNING|1:02:03|None\\n7_1|PENDING|4:00:00|JobHeldUser\\n7_2|NODE_FAIL|0:00|NodeDown\\n9|PENDING|1|x\\n'",
    )
    found = queue.active_jobs([entry("a", "7_0"), entry("b", "7_1"), entry("c", "7_2"), entry("d", "7_3")])
    assert found == {
        "7_0": ("running", "1:02:03", ""),
        "7_1": ("queued", "", "JobHeldUser"),
        "7_2": ("queued", "", "NodeDown"),  # Slurm queues it again
    }


def test_squeue_reports_all_states(programs, tmp_path):
    programs("squeue", f'echo "$@" >{tmp_path}/asked; printf "1|COMPLETING|1|None\\n2|CONFIGURING|1|None\\n"')
    assert queue.active_jobs([entry("a", "1"), entry("b", "2")]) == {"1": ("running", "1", ""), "2": ("queued", "", "")}
    asked = (tmp_path / "asked").read_text().partition("--states=")[2].split()[0].split(",")
    # The states of a job that is preempted, queued again, or whose node failed. By default squeue shows only the first three.
    assert {"PENDING", "RUNNING", "COMPLETING", "PREEMPTED", "REQUEUED", "NODE_FAIL"} <= set(asked)
    assert not {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY"} & set(asked)


@pytest.mark.parametrize(("line", "longest"), [("MaxArraySize            = 101", 101), ("MaxArraySize = 0", 1)])
def test_max_array_size(programs, line, longest):
    programs("scontrol", f"printf 'MaxJobCount             = 10000\\n{line}\\n'")
    assert queue.max_array_size() == longest


def test_jobs_of_another_host():
    there = replace(entry("a", "123"), cluster="local", host="another")
    assert queue.active_jobs([there]) == {
        "123": ("queued", "", "on another: only that machine knows; `bench run` does it here")
    }
    assert queue.active_jobs([replace(there, job="")]) == {}  # it was cancelled there
    with pytest.raises(JobError, match="runs on another"):
        queue.cancel([there])


def test_queue_does_not_answer(programs):
    programs("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(JobError, match="squeue: slurm_load_jobs error: Unable to contact"):
        queue.active_jobs([entry("a")])


def test_program_without_permission(tmp_path, monkeypatch):
    for name in ("squeue", "nvidia-smi"):
        (tmp_path / name).touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(JobError, match="squeue: not found"):
        queue.active_jobs([entry("a")])
    assert available_gpus() == []


def test_local_jobs_are_found_by_process(until):
    sleeps = "import time; time.sleep(60)"
    starts = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}]) # submitit"
    waiting = starts.format(sleeps)  # for a slot: submitit has not started the command
    running = starts.format(starts.format(sleeps))
    other = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleeps!r}])"  # another process with a recycled id
    programs = [
        subprocess.Popen([sys.executable, "-c", text], start_new_session=True) for text in (waiting, running, other)
    ]
    asked = [entry(key, str(each.pid), "local") for key, each in zip("abc", programs, strict=True)]
    first, second, _ = (each.job for each in asked)
    try:
        wanted = {first: ("queued", "", "no slot is free"), second: ("running", "", "")}
        until(lambda: (found := queue.active_jobs(asked)) == wanted or found, 30)
    finally:
        for each in programs:
            os.killpg(each.pid, signal.SIGKILL)
            each.wait()
    assert queue.active_jobs(asked) == {}

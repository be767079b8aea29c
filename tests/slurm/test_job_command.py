"""A job and its command when either is killed, stopped or asked to save its state, without a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from slurm import job_command, resources
from slurm.job_command import JobCommand
from slurm.submission import sbatch_scripts


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def test_killed_command_restarts(tmp_path):
    dies_twice = f"""
import os, pathlib
lives = pathlib.Path({str(tmp_path)!r}, "lives")
lives.open("a").write("x")
if len(lives.read_text()) < 3: os.kill(os.getpid(), 9)
"""
    JobCommand(python(dies_twice), {})()
    assert (tmp_path / "lives").read_text() == "xxx"
    (tmp_path / "lives").unlink()
    always = dies_twice.replace("< 3", "< 99")
    with pytest.raises(RuntimeError, match="-9"):
        JobCommand(python(always), {})()
    assert (tmp_path / "lives").read_text() == "x" * job_command.MAX_KILLS
    (tmp_path / "lives").unlink()
    fails = dies_twice.replace("if len", "raise SystemExit(2)\nif len")
    with pytest.raises(RuntimeError, match="exit status 2"):
        JobCommand(python(fails), {})()
    assert (tmp_path / "lives").read_text() == "x"


def job_process(command: str, **variables: str) -> subprocess.Popen:
    """A process that runs a JobCommand: the Python program `command`."""
    program = (
        f"import sys; from slurm.job_command import JobCommand; JobCommand((sys.executable, '-c', {command!r}), {{}})()"
    )
    return subprocess.Popen(python(program), env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)


def test_killed_process_of_several(tmp_path):
    dies = f"import os; open({str(tmp_path / 'lives')!r}, 'a').write('x'); os.kill(os.getpid(), 9)"
    process = job_process(dies, SLURM_STEP_NUM_TASKS="2", BENCH_KILLED=str(tmp_path / "killed"))
    process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    assert (tmp_path / "killed").exists()  # whatever exit status srun reports
    assert (tmp_path / "lives").read_text() == "x"  # not restarted: the other processes have lost it


def test_command_ends_with_its_watcher(tmp_path, until):
    place = str(tmp_path)
    command = f"""
import pathlib, signal, sys, time
def save(*_): pathlib.Path({place!r}, "saved").touch(); sys.exit()
signal.signal(signal.SIGINT, save)
pathlib.Path({place!r}, "begun").touch()
time.sleep(60)
"""
    process = job_process(command)
    until(lambda: (tmp_path / "begun").exists())
    process.kill()
    until(lambda: (tmp_path / "saved").exists(), 30)
    process.communicate()


# A task of an array is named by its number there: one of them has the array's own as well.
ARRAYS = ({"ARRAY_JOB_ID": "", "ARRAY_TASK_ID": ""}, {"ARRAY_JOB_ID": "12", "ARRAY_TASK_ID": "0"})


KILLED, REQUEUE = "sh -c 'kill -9 $$'", "requeue 12\n"
BY_ITSELF = "touch FOLDER/${bench_job}_1_result.pkl; "  # submitit writes it when a process ends by itself


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(
    ("command", "state", "asked"),
    [
        (KILLED, "RUNNING", (REQUEUE, REQUEUE, "")),  # not after the third time
        (KILLED, "COMPLETING", ("",) * 4),  # it was cancelled: this does not count
        (f"{BY_ITSELF}{KILLED}", "RUNNING", ("",)),  # srun killed the others
        (f"{BY_ITSELF}touch $BENCH_KILLED; sh -c 'exit 1'", "RUNNING", (REQUEUE,)),  # out of memory: srun reports 1
        ("sh -c 'exit 1'", "RUNNING", ("",)),
        ("true", "RUNNING", ("",)),
    ],
)
def test_killed_job_is_requeued(tmp_path, programs, monkeypatch, command, state, asked, array):
    (made,) = sbatch_scripts(1, resources.Resources(), "bench")
    ending = next(line for line in made.splitlines() if line.startswith("srun"))
    programs("squeue", f'echo "$@" >> {tmp_path}/looked; echo {state}')
    programs("scontrol", f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "7")  # preemptions do not count
    for name, value in array.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    job = "12_0" if array["ARRAY_TASK_ID"] else "12"
    (tmp_path / "FOLDER").mkdir()
    monkeypatch.chdir(tmp_path)
    for each in asked:
        (tmp_path / "asked").write_text("")
        done = subprocess.run(["bash"], input=made.replace(ending, command), text=True, stderr=subprocess.PIPE)
        assert (done.returncode == 0) == (command == "true")
        assert (tmp_path / "asked").read_text() == each.replace("12", job)
        assert not each or f"--job={job} " in (tmp_path / "looked").read_text()
    assert ("ended by SIGKILL 3 times" in done.stderr) == (len(asked) == job_command.MAX_KILLS)
    assert not (tmp_path / "FOLDER" / f"killed-{job}").exists()


def test_uncountable_kill_is_not_requeued(tmp_path, programs, monkeypatch):
    (made,) = sbatch_scripts(1, resources.Resources(setup=("set -eu",)), "bench")
    programs("squeue", "echo RUNNING")
    programs("scontrol", f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.chdir(tmp_path)  # where there is no FOLDER
    ending = next(line for line in made.splitlines() if line.startswith("srun"))
    done = subprocess.run(["bash"], input=made.replace(ending, KILLED), text=True, stderr=subprocess.PIPE)
    assert done.returncode == 128 + signal.SIGKILL
    assert "ended by SIGKILL" in done.stderr
    assert not (tmp_path / "asked").exists()


def test_checkpoint_saves_and_resumes(tmp_path):
    saves = f"""
import pathlib, signal, sys, time
place = pathlib.Path({str(tmp_path)!r})
def save(*_): (place / "state").write_text("saved"); sys.exit(130)
signal.signal(signal.SIGTERM, save)
if (place / "state").exists(): (place / "ended").write_text("from state"); sys.exit()
(place / "ready").touch()
while True: time.sleep(0.01)
"""
    made = JobCommand(python(saves), {})
    again = []

    def time_limit() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        again.append(made.checkpoint())

    watcher = threading.Thread(target=time_limit)
    watcher.start()
    assert made._run({}) == 130
    watcher.join()
    assert (tmp_path / "state").read_text() == "saved"
    again[0].function()
    assert (tmp_path / "ended").read_text() == "from state"


def test_command_survives_usr2():
    assert JobCommand(python("import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"), {})._run({}) == 0


def test_environment_is_extended(tmp_path):
    JobCommand(
        python("import os, pathlib; pathlib.Path(os.environ['PLACE'], os.environ['HOME'][:1] and 'x').touch()"),
        {"PLACE": str(tmp_path)},
    )()
    assert (tmp_path / "x").exists()


def test_job_uses_its_own_python(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", "/of/whoever/submits")
    made = JobCommand(python(f"import sys; open({str(tmp_path / 'by')!r}, 'w').write(sys.executable)"), {})
    monkeypatch.undo()
    made()
    assert (tmp_path / "by").read_text() == sys.executable


def test_slots_limit_parallel_commands(tmp_path):
    log = f"pathlib.Path({str(tmp_path)!r}, 'log').open('a').write"
    program = python(f"import os, time, pathlib; {log}(os.environ['GPU'] + '+'); time.sleep(0.2); {log}('-')")
    slots = {tmp_path / "slot": {"GPU": "7"}}
    threads = [threading.Thread(target=JobCommand(program, {"GPU": ""}, slots)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "log").read_text() == "7+-7+-7+-"
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL

"""What is submitted, and with which resources, without a cluster: the tests write their own squeue, sbatch and scancel."""

import errno
import json
import os
import random
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from slurm import JobError, queue, resources, submission
from slurm.job_command import JobCommand
from slurm.ledger import Ledger, LedgerEntry, Task
from slurm.snapshot import snapshot
from slurm.submission import local_slots, sbatch_scripts


def test_dependency_option():
    said = resources.Resources(sbatch=("exclusive",)).parameters("name", Path("folder"), ["12", "13_2"])[
        "additional_parameters"
    ]
    assert said == {"requeue": True, "exclusive": True, "dependency": "afterany:12:13_2"}
    assert resources.Resources().parameters("name", Path("folder"))["additional_parameters"] == {"requeue": True}


def test_refused_submission_keeps_results(bench, programs, results, monkeypatch):
    one = ("--method", "mean", "--dataset", "walkers:tiny", "--set", "epochs=0")
    assert bench("run", *one).returncode == 0
    (file,) = results.glob("*/record.json")
    file.write_text(file.read_text().replace('"code": "', '"code": "0'))
    before = {each.name: each.read_bytes() for each in file.parent.iterdir()}
    programs("srun", "")  # submitit looks for it before it calls sbatch
    programs("squeue", "")
    programs("scontrol", "echo MaxArraySize = 1001")
    programs("sbatch", "echo 'sbatch: error: no such account' >&2; exit 1")
    answer = bench("submit", *one, "--seeds", 1)
    assert (answer.returncode, answer.stderr) == (2, "bench: sbatch: error: no such account\n")
    assert {each.name: each.read_bytes() for each in file.parent.iterdir()} == before
    assert not list((results / ".jobs" / "code").iterdir())
    programs("sbatch", "echo Submitted batch job 7")
    assert bench("submit", *one, "--seeds", 1).stdout.startswith("1 job submitted")
    assert [each.name for each in results.iterdir()] == [".jobs"]
    assert "(epochs=0)" in bench("status").stdout
    # A later refusal keeps the code of the waiting job, also if BENCH_RESULTS is relative.
    monkeypatch.chdir(results.parent)
    monkeypatch.setenv("BENCH_RESULTS", results.name)
    programs("squeue", "echo '7|PENDING|0:00|Priority'")
    programs("sbatch", "echo 'sbatch: error: no such account' >&2; exit 1")
    assert bench("submit", *one, "--seeds", 2).returncode == 2
    assert len(list((results / ".jobs" / "code").iterdir())) == 1


def test_refused_submission_cancels_packing(bench, programs, results, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "site.toml"))
    (tmp_path / "site.toml").write_text('scratch = "/scratch"\n')
    assert bench("data", "export", "walkers:tiny", "--layout", "mars", "--to", tmp_path / "mars").returncode == 0
    programs("srun", "")  # submitit looks for it before it calls sbatch
    programs("squeue", "")
    programs("scontrol", "echo MaxArraySize = 1001")
    programs("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    programs("sbatch", f"[ -e {tmp_path}/second ] && {{ echo 'sbatch: error: no' >&2; exit 1; }}\n"
                       f"touch {tmp_path}/second; echo Submitted batch job 7")  # fmt: skip
    asked = ("submit", "--method", "mean", "--dataset", "mars", "--recipe", "small", "--seeds", 1)
    dry = bench(*asked, "--dry-run").stdout
    assert dry.count("#!/bin/bash") == 2
    assert "#SBATCH --dependency=afterany:JOB_OF_pack_mars" in dry
    assert bench(*asked).returncode == 2
    assert (tmp_path / "cancelled").read_text() == "7\n"
    assert [entry.job for entry in Ledger(results).entries().values()] == [""]
    assert not list((results / ".jobs" / "code").iterdir())


def test_full_disk_cancels_the_jobs_that_the_ledger_lacks(tmp_path, monkeypatch):
    cancelled: list[LedgerEntry] = []
    monkeypatch.setattr(submission, "_submit_array", lambda *_: ["7"])
    monkeypatch.setattr(queue, "max_array_size", lambda: 10)
    monkeypatch.setattr(queue, "cancel", cancelled.extend)
    ledger = Ledger(tmp_path)
    ledger.file = Path("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        submission.submit([Task("a", "title", ("bench",))], ledger, resources.Resources(), {}, "name", local=False)
    assert error.value.filename == "/dev/full"
    assert [each.job for each in cancelled] == ["7"]


@pytest.mark.parametrize("local", [True, False])
def test_full_disk_of_submitits_files_names_their_folder(tmp_path, programs, monkeypatch, local):
    def full(self, filepath):
        Path(filepath).touch()
        raise OSError(errno.ENOSPC, "No space left on device")  # that of a write names no file

    programs("srun", "")
    programs("scontrol", "echo MaxArraySize = 1001")
    monkeypatch.setattr(DelayedSubmission, "dump", full)
    ledger, task = Ledger(tmp_path), Task("a", "title", ("bench",))
    with pytest.raises(OSError, match="No space left on device") as error:
        submission.submit([task], ledger, resources.Resources(), {}, "name", local=local)
    folder = Path(error.value.filename)
    assert tmp_path in folder.parents
    assert not folder.exists()
    assert not ledger.entries()


def test_full_disk_leaves_no_half_of_a_copy(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", source, None, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left on device"):
        snapshot([Path(resources.__file__).parent], {}, tmp_path / "code")
    assert not list((tmp_path / "code").iterdir())


@pytest.mark.parametrize(
    ("time", "minutes"), [("90", 90), ("4:00:00", 240), ("0:00:30", 1), ("2-12:30:00", 3630), ("0:01:01", 2)]
)
def test_time_limits(time, minutes):
    assert resources.Resources(time=time).minutes == minutes


@pytest.mark.parametrize("time", ["4h", "", "1:00", "-5"])
def test_invalid_time_limits(time):
    with pytest.raises(JobError, match="write H:MM:SS"):
        _ = resources.Resources(time=time).minutes


def test_site_file(tmp_path, monkeypatch):
    file = tmp_path / "site.toml"
    monkeypatch.setenv("BENCH_SITE", str(file))
    file.write_text('partition = "gpu"\ncpus = 8\nsetup = ["module load x"]\n')
    made = resources.resolve({"partition": "long", "cpus": None, "sbatch": ()})
    assert (made.partition, made.cpus, made.setup) == ("long", 8, ("module load x",))
    for text, said in [
        ("gpu = 1", "unknown key 'gpu'"),
        ('cpus = "8"', "wrong type"),
        ("cpus =", "not TOML"),
        ("cpus = " + "[" * 10**5, "not TOML"),
        ("cpus = " + "9" * 5000, "not TOML"),
        ("cpus = 0x" + "f" * 5000, "cpus: give a number from 1 to 1000000"),
        ("memory = nan", "memory: give a number from"),
        ('partition = "a\\nb"', "partition .*write it on one line"),
        ('sbatch = ["a=b", "c\\nd"]', "sbatch .*write it on one line"),
    ]:
        file.write_text(text)
        with pytest.raises(JobError, match=said):
            resources.resolve({})
    file.unlink()
    with pytest.raises(JobError, match="no such file"):
        resources.resolve({})


@pytest.mark.parametrize("option", ["partition", "account", "qos", "constraint", "time", "sbatch"])
@pytest.mark.parametrize("text", ["a\nb", "a\n#SBATCH --uid=0", "a\r", "a\x00", "a\u2028b"])
def test_option_of_two_lines_is_refused(option, text):
    with pytest.raises(JobError, match=f"^--{option} .*: write it on one line"):
        resources.resolve({option: [text] if option == "sbatch" else text})


HOSTILE = (*"ab =-'\"\\$`;&|<>()*?!#~", "$(id)", "`id`", "#SBATCH --uid=0", "' ; id ; '", "\n", "--wrap=id")


@pytest.mark.parametrize("seed", range(20))
def test_hostile_option_stays_one_word(seed):
    """Each value is refused, or is one line of the script with one word, which a shell reads as it was."""
    draw = random.Random(seed)
    text = "".join(draw.choices(HOSTILE, k=draw.randint(1, 6)))
    plain = sbatch_scripts(1, resources.Resources(partition="x"), "name")[0].splitlines()
    try:
        made = resources.resolve({"partition": text})
    except JobError:
        assert "\n" in text
        return
    script = sbatch_scripts(1, made, "name")[0].splitlines()
    assert len(script) == len(plain)
    ((before, after),) = [lines for lines in zip(plain, script, strict=True) if lines[0] != lines[1]]
    assert before == "#SBATCH --partition=x"
    assert shlex.split(after.removeprefix("#SBATCH ")) == [f"--partition={text}"]


@pytest.mark.parametrize("seed", range(5))
def test_hostile_word_of_a_command_is_passed_as_it_is(tmp_path, seed):
    draw = random.Random(seed)
    words = ["".join(draw.choices(HOSTILE, k=3)) for _ in range(4)]
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(sys.argv[2:]))"
    JobCommand((sys.executable, "-c", program, str(tmp_path / "words"), *words), {}, {tmp_path / "slot": {}})()
    assert (tmp_path / "words").read_text() == repr(words)


def test_site_example_is_valid(monkeypatch):
    monkeypatch.setenv("BENCH_SITE", str(Path(resources.__file__).parent / "site.example.toml"))
    assert resources.resolve({}).gpus == 1


def test_sbatch_options():
    asked = resources.Resources(
        partition="gpu", account="lab", qos="long", constraint="h100", gpus=4, cpus=8, memory=64, nodes=2, time="1:30:00",
        max_parallel=8, sbatch=("reservation=x",), setup=("module load cuda",),
    )  # fmt: skip
    (made,) = sbatch_scripts(12, asked, "bench-table4")
    lines = made.splitlines()
    for word in (
        "partition=gpu", "account=lab", "qos=long", "constraint=h100", "gpus-per-node=4", "ntasks-per-node=4", "nodes=2",
        "cpus-per-task=8", "mem=65536MB", "time=90", "array=0-11%8", "requeue", "reservation=x", "job-name=bench-table4",
        "signal=USR2@90",
    ):  # fmt: skip
        assert f"#SBATCH --{word}" in lines
    assert "--kill-on-bad-exit=1" in lines[-1]  # otherwise the other processes wait for the one that failed
    assert lines.index("module load cuda") < next(i for i, line in enumerate(lines) if line.startswith("srun"))


def test_long_arrays_are_split(programs):
    programs("scontrol", 'echo "MaxArraySize            = 401"')
    arrays = [re.findall(r"--array=(\S+)", made) for made in sbatch_scripts(900, resources.Resources(), "bench")]
    assert arrays == [["0-400%64"], ["0-400%64"], ["0-97%64"]]


def test_python_in_a_container():
    asked = resources.Resources(python="apptainer exec --nv bench.sif python")
    (made,) = sbatch_scripts(1, asked, "bench")
    (last,) = (line for line in made.splitlines() if line.startswith("srun"))
    assert last.endswith(" apptainer exec --nv bench.sif python -u -m submitit.core._submit FOLDER")


def test_snapshot_is_named_by_contents(tmp_path):
    package = tmp_path / "thing"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    first = snapshot([package], {"commit.json": "{}"}, tmp_path / "code")
    assert snapshot([package], {"commit.json": "{}"}, tmp_path / "code") == first
    assert json.loads((first / "commit.json").read_text()) == {}
    (package / "a.py").write_text("x = 2")
    assert (first / "thing/a.py").read_text() == "x = 1"
    assert snapshot([package], {"commit.json": "{}"}, tmp_path / "code") != first
    assert not list((tmp_path / "code").glob(".half-*"))


def slots(folder, **options) -> dict[str, dict[str, str]]:
    return {file.name: environment for file, environment in local_slots(folder, resources.Resources(**options)).items()}


def test_local_slots(tmp_path, programs, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    programs("nvidia-smi", "printf 'GPU 0: X (UUID: a)\nGPU 1: X (UUID: b)\n'")
    assert slots(tmp_path, gpus=1) == {"gpu0": {"CUDA_VISIBLE_DEVICES": "0"}, "gpu1": {"CUDA_VISIBLE_DEVICES": "1"}}
    assert list(slots(tmp_path, gpus=1, max_parallel=1)) == ["gpu0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert slots(tmp_path, gpus=1) == {"gpu3": {"CUDA_VISIBLE_DEVICES": "3"}}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert slots(tmp_path, cpus=2) == {"cpu0": {}, "cpu1": {}, "cpu2": {}}
    assert list(slots(tmp_path, cpus=99)) == ["cpu0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(JobError, match="no GPU here"):
        slots(tmp_path, gpus=1)
    with pytest.raises(JobError, match="torchrun"):
        slots(tmp_path, gpus=2)
    with pytest.raises(JobError, match="torchrun"):
        slots(tmp_path, nodes=2)

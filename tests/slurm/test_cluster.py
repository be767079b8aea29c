"""A real Slurm, from `bench submit` to the record: preemption, limits, requeue, dead nodes and processes, two at once.

`make cluster-test` runs these; where Slurm's programs are lacking they are skipped. One cluster serves all. Training waits a
moment each step, so that there is time for things to happen to it.
"""

import getpass
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load

from benchmarks.runs import records
from slurm.local_cluster import __main__ as local

pytestmark = [
    pytest.mark.skipif(
        bool(local.missing_programs()),
        reason=f"NOT TESTED ON SLURM: not installed: {', '.join(local.missing_programs())}",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED ON SLURM: the test's cluster is started by root"),
]

SLOW = '''
import os, time
from baselines.interface.baseline import Baseline
from baselines.mean import Mean
from baselines.interface.errors import UserError
from baselines.interface.registry import register
from benchmarks.suites.suite import Row, Suite

@register("pair")
class Pair(Suite):
    """Slow, with and without AFA."""
    def rows(self, dataset):
        return [Row(method, method) for method in ("slow", "slow+afa")]

@register("slow")
class Slow(Mean, Baseline):
    """Mean, that takes its time in training."""
    def forward(self, clips):
        if self.training:
            time.sleep(float(os.environ.get("SLOW", "0.5")))
        return super().forward(clips)

@register("faulty")
class Faulty(Mean, Baseline):
    """Mean, that does not."""
    def forward(self, clips):
        raise UserError("faulty: bad data")
'''
UNDISTURBED = """
import sys
from benchmarks.cli import app
for seed in range(int(sys.argv[1])):
    app(["run", *sys.argv[2:], "--seed", str(seed)], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def cluster():
    """The cluster's folder; its environment is this process's until the end."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)  # munge refuses pytest's folders, which are nobody else's to enter
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SRUN_"))]:
            patch.delenv(name)
        for name in ("SLURM_CONF", "MASTER_ADDR", "PATH"):
            patch.setenv(name, os.environ.get(name, ""))
        patch.setenv("OMP_NUM_THREADS", "1")
        local.up(root)
        yield root
        local.down(root)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "slow.py"
    file.write_text(SLOW)
    return file


@pytest.fixture(scope="module")
def ask(plugin):
    """The words of experiments that train for so many epochs, of three steps each: of a method, or of the suite `pair`."""

    def words(method: str, epochs: int) -> list[str]:
        changes = ("threads=1", "identities=3", "lr_step=99", f"epochs={epochs}")
        settings = [word for change in changes for word in ("--set", change)]
        which = [method] if method == "pair" else ["--method", method]
        return [*which, "--dataset", "walkers:tiny", "--recipe", "small", *settings, "--plugin", str(plugin)]

    return words


@pytest.fixture(autouse=True)
def _left_as_found(cluster, until):
    """A test that ends, however it does, leaves the next one an empty queue, and all nodes."""
    yield
    _wake_nodes(cluster)
    _asked("scancel", "--user", getpass.getuser())
    until(idle)


@pytest.fixture
def submit(cluster, bench):
    """Submit, and give the new jobs' numbers."""

    def call(*words: object, seeds: int = 1) -> list[str]:
        before = _queue("%i")
        answer = bench("submit", *words, "--seeds", seeds, "--cpus", 1)
        assert answer.returncode == 0, answer.stderr
        return [job for job in _queue("%i") if job not in before]

    return call


@pytest.fixture
def status(bench, plugin):
    def call() -> str:
        answer = bench("status", "--plugin", plugin)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return call


@pytest.fixture
def done(status, until, results):
    """Wait for so many records, and see that `bench status` tells of them, and of what was done besides."""

    def call(count: int, seconds: float = 240, besides: int = 0) -> None:
        until(lambda: len(records.finished(results)) == count or _queue("%i %T"), seconds)
        assert f"{count + besides} done" in status()

    return call


@pytest.fixture
def table(bench, plugin, results):
    """The rows of `bench table`, by method: how many runs each has."""

    def call() -> dict[str, int]:
        answer = bench("table", "--plugin", plugin, "--format", "csv")
        assert answer.returncode == 0, answer.stderr
        rows = [line.split(",") for line in answer.stdout.splitlines() if line.startswith("walkers:tiny,")]
        return {method: int(runs) for _, method, runs, *_ in rows}

    return call


def _asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _queue(form: str, *which: str) -> list[str]:
    """The jobs that are not over, a line each."""
    return _asked("squeue", "--noheader", "--array", f"--format={form}", *which).splitlines()


@pytest.fixture(scope="module")
def undisturbed(ask, tmp_path_factory):
    """The bytes of the weights of the same runs, that nothing happened to, by the names of their folders."""

    @cache
    def run(epochs: int, processes: int = 1, seeds: int = 1, method: str = "slow") -> dict[str, bytes]:
        place = tmp_path_factory.mktemp("undisturbed")
        (place / "undisturbed.py").write_text(UNDISTURBED)
        there = {**os.environ, "BENCH_RESULTS": str(place), "SLOW": "0"}
        several = ("-m", "torch.distributed.run", "--nproc-per-node", str(processes)) if processes > 1 else ()
        words = (*several, str(place / "undisturbed.py"), str(seeds), *ask(method, epochs))
        answer = subprocess.run([sys.executable, *words], env=there, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return _weights_in(place)

    return run


def _weights_in(place: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in place.glob("*/model.safetensors")}


@pytest.fixture
def weights(results, table):
    """The bytes of the weights of all runs, by the names of their folders; each run is in the table once."""

    def read() -> dict[str, bytes]:
        found = _weights_in(results)
        assert sum(table().values()) == len(found)
        return found

    return read


def idle() -> list[str] | bool:
    """Whether no job is left; or those that are."""
    return _queue("%i %T") or True


def epochs_ended(results: Path) -> int:
    """That were written down."""
    return sum(len(file.read_text().splitlines()) for file in results.glob("*/curves.jsonl"))


def test_an_array_runs_so_many_at_once_and_is_not_submitted_twice(
    submit, bench, table, until, results, ask, weights, undisturbed
):
    words = (*ask("slow", 1), "--max-parallel", 4, "--gpus", 1)  # which the test's cluster has by name alone
    jobs = submit(*words, seeds=12)
    assert len(jobs) == 12
    assert "gres/gpu=1" in _asked("scontrol", "show", "job", jobs[0])
    words += ("--seeds", 12)
    assert bench("submit", *words).stdout.startswith("0 jobs submitted; left alone: ")
    at_once = []

    def over() -> object:
        at_once.append(len(_queue("%i", "--states=RUNNING")))
        return len(records.finished(results)) == 12 or _queue("%i %T")

    until(over)
    assert 1 < max(at_once) <= 4
    assert bench("submit", *words).stdout.startswith("0 jobs submitted; left alone: 12 done")
    assert table() == {"slow": 12}
    assert weights() == undisturbed(1, seeds=12)


def _requeue(job: str, cluster: Path, results: Path) -> None:
    _asked("scontrol", "requeue", job)


def _preempt(job: str, cluster: Path, results: Path) -> None:
    """Somebody more important needs all nodes for a few seconds."""
    _asked("sbatch", "--partition=high", "--nodes=3", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")


def _processes(pattern: str) -> list[int]:
    return [int(pid) for pid in subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()]


def _kill_the_run(job: str, cluster: Path, results: Path) -> None:
    """As a kernel short of memory does."""
    os.kill(_processes(f"benchmarks.cli run .*{results}")[0], signal.SIGKILL)


def _kill_the_watcher(job: str, cluster: Path, results: Path) -> None:
    """The process that watches the run and would start it again."""
    for pid in _processes(rf"^\S+ -u -m submitit.core._submit {results}"):
        os.kill(pid, signal.SIGKILL)


def _kill_the_node(job: str, cluster: Path, results: Path) -> None:
    """With all that runs on it; of several the last, on which the job's script does not run."""
    nodes = _asked("squeue", "--noheader", f"--job={job}", "--format=%N").strip()
    node = _asked("scontrol", "show", "hostnames", nodes).split()[-1]
    local.stop(cluster, f"slurmd-{node}", signal.SIGKILL)
    there = [pid for pid in _processes(".") if f"SLURMD_NODENAME={node}" in _environment(pid)]
    above = {int(_asked("ps", "-o", "ppid=", str(pid))) for pid in there}
    for pid in [*above.intersection(_processes(r"slurmstepd: \[")), *there]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _environment(pid: int) -> list[str]:
    """Of a process, when it began; of one that is over, nothing."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _wake_nodes(cluster: Path) -> None:
    for number in range(1, local.NODES + 1):
        if not (cluster / "pid" / f"slurmd-n{number}").exists():
            local.start_node(cluster, number)


def _restart_the_controller(job: str, cluster: Path, results: Path) -> None:
    local.start_control(cluster)


# What kills comes after what lets the run save its state: it has a checkpoint to go on from.
@pytest.mark.parametrize(
    ("processes", "mishaps"),
    [
        (1, (_preempt, _kill_the_run, _kill_the_node)),
        (1, (_requeue, _kill_the_watcher, _restart_the_controller)),
        (2, (_requeue, _kill_the_run, _kill_the_node)),
    ],
)
def test_after_mishaps_a_run_ends_with_the_bits_of_an_undisturbed_one(
    submit, done, until, results, ask, cluster, weights, undisturbed, processes, mishaps
):
    (job,) = submit(*ask("slow", 8), "--nodes", processes)
    ended = 0
    for mishap in mishaps:
        until(lambda least=ended + 1: epochs_ended(results) >= least or _queue("%i %T"), 90)
        mishap(job, cluster, results)
        if mishap is not mishaps[-1]:
            until(lambda: len(list(results.glob("*/checkpoint.pth"))) == 1 or _queue("%i %T"), 90)
            ended = epochs_ended(results)
    alone = undisturbed(8, processes)  # meanwhile
    done(1)
    assert weights() == alone
    (record,) = records.finished(results)
    assert record["environment"]["processes"] == processes
    (log,) = results.glob("*/log.txt")
    assert log.read_text().count(" epoch 1 ") == 1  # it went on, and did not begin anew


def test_a_run_longer_than_its_time_limit_goes_on_in_another_job(submit, done, ask, weights, undisturbed):
    # Slurm counts in minutes; 20 seconds before, the run is asked to save its state, and it trains for 45.
    (job,) = submit(*ask("slow", 30), "--time", "1")
    alone = undisturbed(30)  # meanwhile
    done(1, 400)
    assert "Restarts=0" not in _asked("scontrol", "show", "job", job)
    assert weights() == alone


def test_a_run_at_fault_fails_once_with_its_line_and_the_rest_goes_on(
    submit, bench, status, until, results, ask, weights, undisturbed
):
    submit(*ask("faulty", 1))
    submit(*ask("faulty+afa", 1), "--nodes", 2)
    submit(*ask("slow", 1))
    until(idle)  # nothing is queued again
    assert "faulty: bad data" in (said := status())
    assert "1 done" in said
    assert "2 failed" in said
    assert not list(results.glob(".jobs/batches/*/kills-*"))
    left = bench("submit", *ask("faulty", 1), "--seeds", 1)
    assert left.stdout.startswith("0 jobs submitted; left alone: 1 failed")
    assert weights() == undisturbed(1)


def test_what_slurm_refuses_is_one_line_and_leaves_nothing(submit, bench, done, results, ask, weights, undisturbed):
    answer = bench("submit", *ask("slow", 1), "--partition", "nowhere")
    assert answer.returncode == 2
    assert "invalid partition" in answer.stderr.strip().splitlines()[-1]
    assert not list((results / ".jobs" / "batches").iterdir())
    assert "nothing was submitted" in bench("status").stdout
    submit(*ask("slow", 1))
    done(1)
    assert weights() == undisturbed(1)


def test_two_who_submit_a_suite_at_the_same_moment_submit_it_once(cluster, done, table, ask, weights, undisturbed):
    program = [sys.executable, "-m", "benchmarks.cli", "submit", *ask("pair", 1), "--seeds", "1"]
    both = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(each.communicate()[0][:16] for each in both) == ["0 jobs submitted", "2 jobs submitted"]
    alone = undisturbed(1) | undisturbed(1, method="slow+afa")  # meanwhile
    done(2)
    assert table() == {"slow": 1, "slow+afa": 1}
    assert weights() == alone


@pytest.fixture
def without_accounting(cluster):
    """The cluster as one that was never given any, until the test ends."""
    file = cluster / "etc/slurm.conf"
    whole = file.read_text()

    local.stop(cluster, "slurmdbd")
    file.write_text("".join(line for line in whole.splitlines(True) if not line.startswith("AccountingStorage")))
    local.start_control(cluster)
    yield
    file.write_text(whole)
    local.start_accounting(cluster)
    local.start_control(cluster)


@pytest.mark.usefixtures("without_accounting")
def test_a_cluster_without_accounting_is_enough_and_with_no_queue_either_records_still_tell(
    cluster, submit, bench, status, done, until, ask, weights, undisturbed
):
    assert "accounting_storage/slurmdbd" not in _asked("scontrol", "show", "config")
    submit(*ask("slow", 1))
    done(1)
    until(idle)  # a job whose end nobody is there to hear of is long in ending
    local.stop(cluster, "slurmctld")
    try:
        assert "1 done" in status()
        answer = bench("submit", *ask("slow", 3))
        assert answer.returncode == 2
        assert "the queue does not answer" in answer.stderr
        assert weights() == undisturbed(1)
    finally:
        local.start_control(cluster)


def test_what_waits_for_a_data_set_to_be_packed_reads_it_from_the_nodes_disk(
    submit, bench, status, done, ask, tmp_path, monkeypatch
):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    assert bench("data", "export", "walkers:tiny", "--layout", "mars", "--to", tmp_path / "mars").returncode == 0
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "site.toml"))
    # As a container would, beside starting Python: it leaves a word that it did.
    (tmp_path / "inside").write_text(
        f'#!/bin/sh\necho "$SLURM_JOB_ID" >> {tmp_path}/started\nexec {sys.executable} "$@"\n'
    )
    (tmp_path / "inside").chmod(0o755)
    (tmp_path / "site.toml").write_text(f'scratch = "{tmp_path}/node"\npython = "{tmp_path}/inside"\n')
    words = ask("slow", 1)
    words[words.index("walkers:tiny")] = "mars"
    submit(*words)
    done(1, besides=1)
    assert "pack mars" in status()
    (pack,) = (tmp_path / "node").glob("afa-bench-*/mars-*/*.arrow")
    assert pack.stat().st_size > 10_000
    rows = bench("table", "--plugin", words[-1], "--format", "csv").stdout.splitlines()
    assert [row.split(",")[:3] for row in rows[1:]] == [["mars", "slow", "1"]]
    assert len((tmp_path / "started").read_text().split()) == 2


def test_two_nodes_train_what_one_process_trains(submit, done, results, ask, weights, undisturbed):
    submit(*ask("slow", 1), "--nodes", 2)
    done(1)
    (record,) = records.finished(results)
    assert record["environment"]["processes"] == 2
    # Adam's first steps have one size whatever the gradient's, and make a step of the rounding of those that are next to
    # nothing. Three steps of another batch, or of statistics of half of it, are another weight altogether.
    two, one = (load(next(iter(found.values()))) for found in (weights(), undisturbed(1)))
    for name, weight in one.items():
        assert (two[name] - weight).float().norm() <= 1e-2 * weight.float().norm(), name


def test_what_is_cancelled_goes_on_when_it_is_submitted_again(
    submit, bench, status, done, until, results, ask, weights, undisturbed
):
    submit(*ask("slow", 8))
    until(lambda: epochs_ended(results) >= 1 or _queue("%i %T"))
    assert "1 jobs cancelled" in bench("cancel", "slow").stdout
    until(idle)
    assert "1 stopped" in status()
    submit(*ask("slow", 8))
    done(1)
    assert weights() == undisturbed(8)
    (log,) = results.glob("*/log.txt")
    assert log.read_text().count(" epoch 1 ") == 1

"""Jobs on a real Slurm, from `bench submit` to the record: preemption, limits, killed nodes and processes."""

import getpass
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load

from benchmarks.runs.store import load_records
from slurm.local_cluster import __main__ as local

pytestmark = pytest.mark.skipif(bool(local.why_unavailable()), reason=f"no Slurm: {local.why_unavailable()}")

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
    """Mean, but slow in training, so that there is time to disturb it."""
    def forward(self, clips):
        if self.training:
            time.sleep(float(os.environ.get("SLOW", "0.5")))
        return super().forward(clips)

@register("faulty")
class Faulty(Mean, Baseline):
    """Mean, but it fails."""
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
    """The cluster's folder. Its environment variables are set until the end."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)  # munge refuses pytest's folders, which only their owner may enter
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
    """The arguments for experiments of so many epochs, of three steps each: of a method, or of the suite `pair`."""

    def words(method: str, epochs: int) -> list[str]:
        changes = ("threads=1", "identities=3", "lr_step=99", f"epochs={epochs}")
        settings = [word for change in changes for word in ("--set", change)]
        which = [method] if method == "pair" else ["--method", method]
        return [*which, "--dataset", "walkers:tiny", "--recipe", "small", *settings, "--plugin", str(plugin)]

    return words


@pytest.fixture(autouse=True)
def _clean_up(cluster, until):
    """After each test the queue is empty and all nodes run."""
    yield
    local.restart_killed_nodes(cluster)
    _run("scancel", "--user", getpass.getuser())
    until(idle)


@pytest.fixture
def submit(cluster, bench):
    """Submit; the ids of the new jobs."""

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
    """Wait for so many records, and check that `bench status` counts them, and `packed` data sets, as done."""

    def call(count: int, seconds: float = 600, packed: int = 0) -> None:
        until(lambda: len(load_records(results)) == count or _queue("%i %T"), seconds)
        assert f"{count + packed} done" in status()

    return call


@pytest.fixture
def table(bench, plugin, results):
    """The number of runs of each method in `bench table`."""

    def call() -> dict[str, int]:
        answer = bench("table", "--plugin", plugin, "--format", "csv")
        assert answer.returncode == 0, answer.stderr
        rows = [line.split(",") for line in answer.stdout.splitlines() if line.startswith("walkers:tiny,")]
        return {method: int(runs) for _, method, runs, *_ in rows}

    return call


def _run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _queue(form: str, *which: str) -> list[str]:
    """The jobs that are not over, one line for each."""
    return _run("squeue", "--noheader", "--array", f"--format={form}", *which).splitlines()


@pytest.fixture(scope="module")
def undisturbed(ask, tmp_path_factory):
    """The bytes of the weights of the same runs without any disturbance, by the names of their folders."""

    @cache
    def run(epochs: int, processes: int = 1, seeds: int = 1, method: str = "slow") -> dict[str, bytes]:
        place = tmp_path_factory.mktemp("undisturbed")
        (place / "undisturbed.py").write_text(UNDISTURBED)
        env = {**os.environ, "BENCH_RESULTS": str(place), "SLOW": "0"}
        several = ("-m", "torch.distributed.run", "--nproc-per-node", str(processes)) if processes > 1 else ()
        words = (*several, str(place / "undisturbed.py"), str(seeds), *ask(method, epochs))
        answer = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        return _weights_in(place)

    return run


def _weights_in(place: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in place.glob("*/model.safetensors")}


@pytest.fixture
def weights(results, table):
    """The bytes of the weights of all runs, by the names of their folders. Each run is in the table once."""

    def read() -> dict[str, bytes]:
        found = _weights_in(results)
        assert sum(table().values()) == len(found)
        return found

    return read


def idle() -> list[str] | bool:
    """True if no job is left; otherwise the jobs."""
    return _queue("%i %T") or True


def epochs_ended(results: Path) -> int:
    return sum(len(file.read_text().splitlines()) for file in results.glob("*/curves.jsonl"))


def test_array_respects_max_parallel(submit, bench, table, until, results, ask, weights, undisturbed):
    words = (*ask("slow", 1), "--max-parallel", 2, "--gpus", 1)  # the test's cluster has fake GPUs
    jobs = submit(*words, seeds=5)
    assert len(jobs) == 5
    assert "gres/gpu=1" in _run("scontrol", "show", "job", jobs[0])
    words += ("--seeds", 5)
    assert bench("submit", *words).stdout.startswith("0 jobs submitted; the others: ")
    at_once = []

    def over() -> object:
        at_once.append(len(_queue("%i", "--states=RUNNING")))
        return len(load_records(results)) == 5 or _queue("%i %T")

    until(over)
    assert max(at_once) == 2  # a cluster that is never full would be no test
    assert bench("submit", *words).stdout.startswith("0 jobs submitted; the others: 5 done")
    assert table() == {"slow": 5}
    assert weights() == undisturbed(1, seeds=5)


def _requeue(job: str, cluster: Path, results: Path) -> None:
    _run("scontrol", "requeue", job)


def _preempt(job: str, cluster: Path, results: Path) -> None:
    """A higher-priority job needs all nodes for a few seconds."""
    _run("sbatch", "--partition=high", "--nodes=3", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")


def _kill_the_run(job: str, cluster: Path, results: Path) -> None:
    """As the kernel does when memory runs out."""
    os.kill(local.processes(f"benchmarks.cli run .*{results}")[0], signal.SIGKILL)


def _kill_the_watcher(job: str, cluster: Path, results: Path) -> None:
    """The process that watches the run and would restart it."""
    for pid in local.processes(rf"^\S+ -u -m submitit.core._submit {results}"):
        os.kill(pid, signal.SIGKILL)


def _kill_the_node(job: str, cluster: Path, results: Path) -> None:
    """Of several nodes the last one, on which the job's script does not run."""
    nodes = _run("squeue", "--noheader", f"--job={job}", "--format=%N").strip()
    local.kill_node(cluster, _run("scontrol", "show", "hostnames", nodes).split()[-1])


def _restart_the_controller(job: str, cluster: Path, results: Path) -> None:
    local.start_control(cluster)


# A kill comes after a mishap at which the run saves its state, so that it has a checkpoint.
@pytest.mark.parametrize(
    ("processes", "mishaps"),
    [
        (1, (_preempt, _kill_the_run, _kill_the_node)),
        (1, (_requeue, _kill_the_watcher, _restart_the_controller)),
        (2, (_requeue, _kill_the_run, _kill_the_node)),
    ],
)
def test_mishaps_do_not_change_the_weights(
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
    (record,) = load_records(results)
    assert record.environment.processes == processes
    (log,) = results.glob("*/log.txt")
    assert log.read_text().count(" epoch 1 ") == 1  # it resumed


def test_time_limit_requeues(submit, done, ask, weights, undisturbed):
    # Slurm's limits are whole minutes. The run trains for 45 s, and is asked to save its state 20 s before the limit.
    (job,) = submit(*ask("slow", 30), "--time", "1")
    alone = undisturbed(30)  # meanwhile
    done(1, 400)
    assert "Restarts=0" not in _run("scontrol", "show", "job", job)
    assert weights() == alone


def test_failing_run_is_not_requeued(submit, bench, status, until, results, ask, weights, undisturbed):
    submit(*ask("faulty", 1))
    submit(*ask("faulty+afa", 1), "--nodes", 2)
    submit(*ask("slow", 1))
    until(idle)  # nothing is queued again
    assert "faulty: bad data" in (said := status())
    assert "1 done" in said
    assert "2 failed" in said
    assert not list(results.glob(".jobs/batches/*/kills-*"))
    left = bench("submit", *ask("faulty", 1), "--seeds", 1)
    assert left.stdout.startswith("0 jobs submitted; the others: 1 failed")
    assert weights() == undisturbed(1)


def test_refused_submission_leaves_nothing(submit, bench, done, results, ask, weights, undisturbed):
    answer = bench("submit", *ask("slow", 1), "--partition", "nowhere")
    assert answer.returncode == 2
    assert "invalid partition" in answer.stderr.strip().splitlines()[-1]
    assert not list((results / ".jobs" / "batches").iterdir())
    assert "nothing was submitted" in bench("status").stdout
    submit(*ask("slow", 1))
    done(1)
    assert weights() == undisturbed(1)


def test_simultaneous_submissions(cluster, done, table, ask, weights, undisturbed):
    program = [sys.executable, "-m", "benchmarks.cli", "submit", *ask("pair", 1), "--seeds", "1"]
    both = [subprocess.Popen(program, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(each.communicate()[0][:16] for each in both) == ["0 jobs submitted", "2 jobs submitted"]
    alone = undisturbed(1) | undisturbed(1, method="slow+afa")  # meanwhile
    done(2)
    assert table() == {"slow": 1, "slow+afa": 1}
    assert weights() == alone


@pytest.fixture
def without_accounting(cluster):
    """The cluster without accounting, until the test ends."""
    file = cluster / "etc/slurm.conf"
    text = file.read_text()

    local.stop(cluster, "slurmdbd")
    file.write_text("".join(line for line in text.splitlines(True) if not line.startswith("AccountingStorage")))
    local.start_control(cluster)
    yield
    file.write_text(text)
    local.start_accounting(cluster)
    local.start_control(cluster)


@pytest.mark.usefixtures("without_accounting")
def test_no_accounting_and_no_queue(cluster, submit, bench, status, done, until, ask, weights, undisturbed):
    assert "accounting_storage/slurmdbd" not in _run("scontrol", "show", "config")
    submit(*ask("slow", 1))
    done(1)
    until(idle)  # without a controller a job that is ending takes long
    local.stop(cluster, "slurmctld")
    try:
        assert "1 done" in status()
        answer = bench("submit", *ask("slow", 3))
        assert answer.returncode == 2
        assert "the queue does not answer" in answer.stderr
        assert weights() == undisturbed(1)
    finally:
        local.start_control(cluster)


def test_packed_data_is_read_from_scratch(submit, bench, status, done, ask, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    assert bench("data", "export", "walkers:tiny", "--layout", "mars", "--to", tmp_path / "mars").returncode == 0
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "site.toml"))
    # In place of a container: starts Python, and writes down that it did.
    (tmp_path / "inside").write_text(
        f'#!/bin/sh\necho "$SLURM_JOB_ID" >> {tmp_path}/started\nexec "{sys.executable}" "$@"\n'
    )
    (tmp_path / "inside").chmod(0o755)
    (tmp_path / "site.toml").write_text(f'scratch = "{tmp_path}/node"\npython = "{tmp_path}/inside"\n')
    words = ask("slow", 1)
    words[words.index("walkers:tiny")] = "mars"
    submit(*words)
    done(1, packed=1)
    assert "pack mars" in status()
    (pack,) = (tmp_path / "node").glob("afa-bench-*/mars-*/*.arrow")
    assert pack.stat().st_size > 10_000
    rows = bench("table", "--plugin", words[-1], "--format", "csv").stdout.splitlines()
    assert [row.split(",")[:3] for row in rows[1:]] == [["mars (not the published counts)", "slow", "1"]]
    assert len((tmp_path / "started").read_text().split()) == 2


def test_two_nodes_train_like_one_process(submit, done, results, ask, weights, undisturbed):
    submit(*ask("slow", 1), "--nodes", 2)
    done(1)
    (record,) = load_records(results)
    assert record.environment.processes == 2
    # Adam's first steps have the same size for every gradient, so that rounding errors in tiny gradients change weights a
    # little. Three steps with another batch, or with the statistics of half of it, would change them completely.
    two, one = (load(next(iter(found.values()))) for found in (weights(), undisturbed(1)))
    for name, weight in one.items():
        assert (two[name] - weight).float().norm() <= 1e-2 * weight.float().norm(), name


def test_cancelled_run_resumes(submit, bench, status, done, until, results, ask, weights, undisturbed):
    submit(*ask("slow", 8))
    until(lambda: epochs_ended(results) >= 1 or _queue("%i %T"))
    assert "1 job cancelled" in bench("cancel", "slow").stdout
    until(idle)
    assert "1 stopped" in status()
    submit(*ask("slow", 8))
    done(1)
    assert weights() == undisturbed(8)
    (log,) = results.glob("*/log.txt")
    assert log.read_text().count(" epoch 1 ") == 1

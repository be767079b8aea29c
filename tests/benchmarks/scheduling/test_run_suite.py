"""`bench suite`: what runs, what is skipped, and what happens after a failure or a signal."""

import json
import re
import signal
import subprocess
import sys

import pytest

from benchmarks.runs.unfinished import unfinished_runs
from benchmarks.scheduling import run_suite
from benchmarks.scheduling.run_suite import Outcome
from benchmarks.scheduling.selection import select
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments
from slurm.ledger import Ledger, LedgerEntry

TINY = ("--dataset", "walkers:tiny", "--set", "epochs=1")


def test_suite_runs_only_what_is_missing(bench, results):
    first = bench("suite", "run", "--seeds", 1, "fig3b", *TINY)
    assert first.status == 0, first.err
    assert "fig3b: 6 of 6 done (0 of them before), 0 failed, 0 skipped" in first.out
    assert "`bench table fig3b --dataset walkers:tiny --seeds 1 --set epochs=1` shows them" in first.out
    written = {file: file.stat().st_mtime_ns for file in results.glob("*/record.json")}
    assert len(written) == 6
    assert "6 of 6 done (6 of them before)" in bench("suite", "run", "fig3b", *TINY, "--seeds", 1).out
    assert "6 experiments, 6 done, 0 to run" in bench("plan", "fig3b", *TINY, "--seeds", 1).out
    assert {file: file.stat().st_mtime_ns for file in results.glob("*/record.json")} == written


def test_plan_counts_gpu_hours(bench, results):
    assert bench("run", "--method", "mean+afa", *TINY).status == 0
    assert "GPU" not in bench("plan", "fig3b", *TINY, "--seeds", 1).out
    (file,) = results.glob("*/record.json")
    record = json.loads(file.read_text())
    record["environment"]["gpu"] = "a GPU"
    record["phases"]["train"]["per_second"] /= 1e6
    file.write_text(json.dumps(record))
    said = bench("plan", "fig3b", *TINY, "--seeds", 1).out
    hours = 5 * record["phases"]["train"]["items"] / record["phases"]["train"]["per_second"] / 3600
    found = re.search(r"5 to run: about .* one after the other on a GPU, (\S+) GPU hours", said)
    assert float(found[1]) == pytest.approx(hours, rel=0.01)


def test_time_left_counts_what_must_train(results, make_record, monkeypatch):
    """`mean` on all frames and on one share a training: it is needed where the first of the two failed."""
    selection = select("sources", datasets=["walkers:tiny"], seeds=1, changes=["epochs=1"])
    frame, frames = selection.experiments()[:2]
    assert frame.experiment.training_hash == frames.experiment.training_hash
    monkeypatch.setattr(type(selection), "experiments", lambda _: [frame, frames])
    monkeypatch.setattr(run_suite, "load_records", lambda _: [make_record(experiment=frame.experiment)])
    left = {}
    for status in ("done", "failed"):
        monkeypatch.setattr(run_suite, "_run_if_missing", lambda each, _, status=status: Outcome(each, status))
        left[status] = next(run_suite.run_suite(selection)).seconds_left
    assert left["done"] < left["failed"]  # the record has no time of a test


def test_suite_that_trains_nothing(bench):
    for verb in ("show", "run"):
        answer = bench("suite", verb, "table1")
        assert (answer.status, answer.out) == (2, "")
        assert "trains nothing" in answer.err


def test_export_and_table_from_the_file(bench, results, tmp_path):
    assert bench("suite", "export", "fig3b", tmp_path / "none.parquet", *TINY, "--seeds", 1).status == 2
    bench("suite", "run", "fig3b", *TINY, "--seeds", 1)
    bench("run", "--method", "max", "--dataset", "walkers:tiny", "--epochs", 0)
    file = tmp_path / "fig3b.parquet"
    assert "6 of 6 runs" in bench("suite", "export", "fig3b", file, *TINY, "--seeds", 1).out
    asked = ("table", "fig3b", *TINY, "--seeds", 1)
    assert bench(*asked, "--from", file).out == bench(*asked).out
    assert "undecided" in bench("verdict", "--from", file, "--from", file).out


def test_suite_continues_after_a_failure(bench, results, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from baselines.interface.registry import register\n"
        "from benchmarks.suites.suite import Row, Suite\n"
        '@register("mine")\n'
        "class Mine(Suite):\n"
        '    """Two rows, of which one cannot run."""\n'
        "    def rows(self, dataset):\n"
        '        return (Row("bad", "mean", ("weights=nowhere.pth",)), Row("good", "mean"))\n'
    )
    assert "mine         Two rows, of which one cannot run." in bench("suite", "list", "--plugin", file).out
    answer = bench("suite", "run", "mine", *TINY, "--seeds", 1, "--plugin", file)
    assert answer.status == 1
    assert "1 of 2 done (0 of them before), 1 failed, 0 skipped" in answer.out
    assert "failed: walkers:tiny: bad (mean), seed 0: " in answer.out
    assert "nowhere.pth" in answer.out
    assert len(list(results.glob("*/record.json"))) == 1
    # It failed before its weights and thus its name were known. The failure is remembered, and the run is tried again.
    asked = ("mine", *TINY, "--seeds", 1, "--plugin", file)
    assert re.search(r"failed: .*nowhere\.pth", bench("plan", *asked).out)
    assert re.search(r"bad \(mean\) +0/1 +failed", bench("table", *asked).out)
    again = bench("suite", "run", *asked)
    assert "1 of 2 done (1 of them before), 1 failed" in again.out
    assert len(list(results.iterdir())) == 2


def test_submitted_experiments_are_left_alone(bench, results):
    choice = Choice(datasets=("walkers:tiny",), seeds=1, changes=("epochs=1",))
    these = list(experiments(SUITES.get("fig3b")(), choice))
    asked = [each.experiment.request_hash for each in these]
    ledger = Ledger(results)
    with ledger.lock():
        ledger.add(
            LedgerEntry(key, key, str(job), "local", "batches/x", "2026-01-01", "far") for job, key in enumerate(asked)
        )
    answer = bench("suite", "run", "fig3b", *TINY, "--seeds", 1)
    assert "0 of 6 done (0 of them before), 0 failed, 6 skipped" in answer.out
    assert "seed 0: queued: on far: only that machine knows" in answer.out
    assert not list(results.glob("*/record.json"))
    assert "queued: on far" in bench("plan", "fig3b", *TINY, "--seeds", 1).out


def test_missing_data_set_is_skipped(bench):
    answer = bench("suite", "run", "table3", "--seeds", 1)
    assert answer.status == 1
    assert "9 skipped" in answer.out
    assert "skipped: dukev: AFA (mean+afa), seed 0: data set absent: data set dukev: give --root DIR" in answer.out
    plan = bench("plan", "table3", "--seeds", 2).out
    assert plan.count("give --root DIR, or set BENCH_DATA") == 1  # once for all that lack it
    assert len(re.findall(r"data set absent( +\(\d+\.\d h\))?\n", plan)) == 2 * 9


def test_stopped_suite(results):
    command = [sys.executable, "-m", "benchmarks.cli", "suite", "run", "table4", *TINY[:2], "--set", "epochs=200"]
    with subprocess.Popen(
        [*command, "--seeds", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as suite:
        for line in suite.stderr:
            if "train: " in line:
                break
        suite.send_signal(signal.SIGTERM)
        out, err = suite.communicate(timeout=60)
    assert suite.returncode == 130, err
    assert "table4: 0 of 6 done" in out
    assert [begun.state for begun in unfinished_runs(results)] == ["stopped"]
    assert (unfinished_runs(results)[0].folder.checkpoint).exists()

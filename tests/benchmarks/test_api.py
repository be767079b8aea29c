"""The functions for notebooks agree with the verbs of the command line."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from baselines.interface.errors import UserError
from benchmarks.runs.exchange import export_runs, merge_file
from benchmarks.runs.finished import finished_runs

MEASURED = Path(__file__).parents[2] / "results" / "measured"


def test_import_is_light():
    program = "import benchmarks, sys; assert not {'torch', 'pandas', 'mmengine'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_run_trains_once(results):
    first = benchmarks.run("mean", "walkers:tiny", epochs=0)
    written = (results / first.name / "record.json").stat().st_mtime_ns
    again = benchmarks.run("mean", "walkers:tiny", epochs=0)
    assert (again.name, again.record.metrics) == (first.name, first.record.metrics)
    assert (results / first.name / "record.json").stat().st_mtime_ns == written


def test_run_is_the_verb(bench, results):
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", 0, "--seed", 1).status == 0
    (by_verb,) = benchmarks.load_runs(results)
    assert benchmarks.run("mean", "walkers:tiny", epochs=0, seed=1).record == by_verb.record


def test_settings_of_run():
    found = benchmarks.run("mean", "walkers:tiny", epochs=0, lambda_=0.5, sampling="even")
    assert (found.experiment.settings["lambda"], found.experiment.settings["sampling"]) == (0.5, "even")
    with pytest.raises(UserError, match="epoch"):
        benchmarks.run("mean", "walkers:tiny", epoch=0)


def test_load_runs_from_folder_and_file(bench, results, tmp_path):
    benchmarks.run("mean", "walkers:tiny", epochs=0)
    file = tmp_path / "runs.parquet"
    assert bench("records", "export", file).status == 0
    assert [run.record for run in benchmarks.load_runs(file)] == [run.record for run in benchmarks.load_runs()]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.parquet: no such file"):
        benchmarks.load_runs(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("name", ["table4", "table5"])
def test_table_has_the_printed_figures(bench, name):
    file = MEASURED / f"{name}.parquet"
    printed = list(csv.DictReader(io.StringIO(bench("table", "--from", file, "--format", "csv").out)))
    frame = benchmarks.table(benchmarks.load_runs(file))
    assert frame[["data set", "method"]].to_numpy().tolist() == [[row["data set"], row["method"]] for row in printed]
    for metric in ("R1", "mAP"):
        cells = [f"{mean:.1f} ± {std:.1f}" for mean, std in zip(frame[metric], frame[f"{metric} std"], strict=True)]
        assert cells == [row[metric] for row in printed]


@pytest.mark.parametrize("seeds", [2, 32])
def test_verdict_has_the_printed_figures(bench, results, tmp_path, seeds):
    """With two seeds the interval over seeds and p are empty: they cannot show how much seeds vary."""
    merge_file(MEASURED / "table4.parquet", results)
    kept = [run for run in finished_runs(results) if run.experiment.seed < seeds]
    file = tmp_path / "kept.parquet"
    export_runs([(run.folder, run.record) for run in kept], file)
    printed = list(csv.DictReader(io.StringIO(bench("verdict", "--from", file, "--format", "csv").out)))
    frame = benchmarks.verdict(benchmarks.load_runs(file)).dropna(subset="effect")
    assert frame.claim.tolist() == [row["claim"] for row in printed]
    for columns, heading in ((("low", "high"), "95% interval"), (("people low", "people high"), "other people too")):
        spans = [
            "" if low != low else f"{low:+.1f} to {high:+.1f}" for low, high in frame[list(columns)].to_numpy().tolist()
        ]
        assert spans == [row[heading] for row in printed]
    assert bool((frame.low == frame.low).all()) == (seeds > 2)
    said = ["" if p != p else f"{p:.4f}" if p >= 1e-4 else "< 0.0001" for p in frame.p]
    assert said == [row["p"] for row in printed]


def test_stale_runs_do_not_count(results):
    found = benchmarks.run("mean", "walkers:tiny", epochs=0)
    record = results / found.name / "record.json"
    record.write_text(record.read_text().replace(found.record.code, "0" * 64))
    with pytest.warns(UserWarning, match="made by other code; fresh=True"):
        stale = benchmarks.run("mean", "walkers:tiny", epochs=0)
    assert benchmarks.table([stale]).stale.tolist() == ["made by other code"]
    assert benchmarks.verdict([stale]).empty


@pytest.mark.usefixtures("_plugins")
def test_plugin_is_found(tmp_path):
    file = tmp_path / "first.py"
    file.write_text(
        "from afa import disentangle\n"
        "from baselines.interface import Baseline, register\n"
        '@register("first-frame")\n'
        "class FirstFrame(Baseline):\n"
        "    def forward(self, clips):\n"
        "        return disentangle(self.embed(clips.frames[:, :1].expand_as(clips.frames)))\n"
    )
    benchmarks.add_plugin(file)
    assert benchmarks.run("first-frame", "walkers:tiny", epochs=0).experiment.method == "first-frame"

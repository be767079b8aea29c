"""Verbs that show and exchange finished runs, and list and doctor."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import version

import pandas as pd
import pytest

from baselines import BASELINES, facts_of
from benchmarks.reporting.power import MEASURED
from benchmarks.runs.exchange import export_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import record_to_json


def test_other_code_makes_a_record_stale(bench, finished):
    folder, record = finished
    folder.record.write_text(record_to_json(replace(record, code="0" * 64)))
    assert (
        "stale (made by other code); --fresh runs it again"
        in bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").err
    )
    table = bench("table").out
    assert "mean*" in table
    assert "* stale: made by other code" in table
    assert "STALE" in bench("show", record.name).out


def test_stale_runs_are_not_compared_or_drawn(bench, finished, tmp_path):
    folder, record = finished
    folder.record.write_text(record_to_json(replace(record, code="0" * 64)))
    for words in (("compare", "mean", "mean"), ("figure", "cmc", "--to", tmp_path), ("verdict",)):
        assert "all finished runs are stale; `bench table` says why" in bench(*words).err
    assert bench("figure", "cmc", record.name, "--to", tmp_path).status == 0  # who names a run wants to see it


def test_stale_run_that_is_named_is_compared(bench, finished):
    """And a note says that it is stale."""
    folder, record = finished
    assert bench("run", "--method", "max", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    folder.record.write_text(record_to_json(replace(record, code="0" * 64)))
    named = bench("compare", "max", record.name)
    assert named.out.startswith("On walkers:tiny, max is ")
    assert f"bench: {record.name} is stale; `bench table` says why" in named.err
    by_method = bench("compare", "max", "mean")
    assert by_method.status == 2
    assert "1 stale run left out; `bench table` says why" in by_method.err


def test_run_in_two_files_counts_once(bench, finished, tmp_path):
    files = [tmp_path / name for name in ("one.parquet", "two.parquet")]
    for file in files:
        assert bench("records", "export", file).status == 0
    once, twice = (
        bench("table", *(word for file in some for word in ("--from", file))).out for some in (files[:1], files)
    )
    assert once == twice


def test_options_of_suites_are_refused_by_status_without_a_suite(bench, results):
    assert "options select experiments of a suite; name the SUITE" in bench("status", "--seeds", 2).err
    assert bench("status").status == 0


@pytest.mark.parametrize("option", [("--seeds", 3), ("--first-seed", 3), ("--skip-bad",)])
def test_options_of_suites_are_refused_without_a_suite(bench, finished, option):
    assert f"{option[0]}: selects experiments of a suite; name the SUITE" in bench("table", *option).err


def test_new_seeds_are_judged_as_if_no_others_had_run(bench, results):
    """Of ten seeds the last five: the same verdict as from a results directory that holds only these."""
    file = MEASURED / "table4-quick.parquet"
    assert bench("records", "merge", file).status == 0
    for folder in results.iterdir():
        if re.search(r"-seed[0-4]-", folder.name):
            shutil.rmtree(folder)
    alone, chosen = bench("verdict").out, bench("verdict", "--first-seed", 5, "--from", file).out
    assert "AFA helps qan" in alone
    note = "only seeds from 5 on\n"
    assert note in chosen
    assert chosen.replace(note, "") == alone
    answer = bench("verdict", "--first-seed", 10, "--from", file)
    assert (
        answer.err
        == "bench: nothing to judge: no finished run of a method that the claims compare with a seed from 10 on\n"
    )


def test_other_data_makes_a_record_stale(bench, finished):
    folder, record = finished
    experiment = replace(record.experiment, data="0" * 64)
    folder.record.write_text(record_to_json(replace(record, experiment=experiment, name=experiment.name)))
    assert "* stale: other data: walkers:tiny" in bench("table").out


def test_table_of_exported_records(bench, finished, tmp_path):
    file = tmp_path / "shared.parquet"
    assert bench("records", "export", file).status == 0
    assert bench("table", "--from", file).out == bench("table").out
    assert len(pd.read_parquet(file)) == len(pd.read_parquet(finished[0].queries))
    (tmp_path / "other.parquet").write_bytes(b"no")
    assert "other.parquet: not a file that" in bench("table", "--from", tmp_path / "other.parquet").err


def test_merge_adds_runs_once(bench, finished, tmp_path, monkeypatch):
    file = tmp_path / "shared.parquet"
    assert bench("records", "export", file).status == 0
    tables = bench("table", "--format", "csv").out
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "mine"))
    assert "1 run added" in bench("records", "merge", file).out
    assert f"0 runs added to {tmp_path / 'mine'}; already there: 1" in bench("records", "merge", file).out
    assert bench("table", "--format", "csv").out == tables
    assert bench("records", "export", tmp_path / "again.parquet").status == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), pd.read_parquet(file))


def test_merge_rejects_paths_outside_the_results(bench, finished, tmp_path, monkeypatch):
    away = replace(finished[1], name="../away")
    export_runs([(finished[0], away)], tmp_path / "bad.parquet")
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "mine"))
    answer = bench("records", "merge", tmp_path / "bad.parquet")
    assert "bad.parquet, record 1: name: must be a name without '/'" in answer.err
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == f"bench: {tmp_path / 'bad.parquet'}: no run in it can be added"
    assert not (tmp_path / "away").exists()


def test_unreadable_records_are_reported(bench, finished, tmp_path):
    folder, record = finished
    assert bench("records", "export", tmp_path / "old.parquet").status == 0
    folder.record.write_text(record_to_json(replace(record, format=99)))
    answer = bench("show", record.name)
    assert answer.status == 2
    assert "record.json: a record of format 99" in answer.err.splitlines()[-1]
    answer = bench("table")
    assert answer.status == 2  # there is no other run
    assert "left out: " in answer.err
    assert "record.json: a record of format 99" in answer.err
    folder.record.write_text("{")
    (folder.path.parent / "half").mkdir()
    (folder.path.parent / "half" / "experiment.json").write_text("{")
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--seed", "1").status == 0
    answer = bench("table", "--format", "csv")  # the other runs are shown
    assert answer.out.splitlines()[1].startswith("walkers:tiny,mean,1,")
    assert "record.json: Invalid JSON" in answer.err
    assert "half/experiment.json: not the experiment of a run" in answer.err


def test_unfinished_runs_are_listed(bench, finished, results):
    _, record = finished
    settings = {**record.experiment.settings, "epochs": 40}
    begun = {**asdict(replace(record.experiment, settings=settings)), "code": "c"}
    folder = RunFolder(results / "walkers-tiny-stopped")
    folder.path.mkdir()
    folder.settings.write_text(json.dumps(begun))
    assert "not finished: walkers-tiny-stopped, stopped: no epoch ended" in bench("table").err
    folder.curves.write_text('{"epoch": 11, "iteration": 209}\n{"epoch": 12, "iteration": 228}\n{"epoch": 13, "ite')
    assert "not finished: walkers-tiny-stopped, stopped: epoch 12 of 40" in bench("table").err
    assert "not finished" not in bench("table").out
    assert "not finished" not in bench("table", "--dataset", "mars").err
    folder.failure.write_text("out of memory")
    assert "not finished: walkers-tiny-stopped, failed: out of memory" in bench("table").err
    folder.failure.unlink()
    with folder.lock():
        assert "not finished: walkers-tiny-stopped, running: epoch 12 of 40" in bench("table").err
    folder.weights.touch()
    assert "not finished: walkers-tiny-stopped, stopped: trained, not evaluated" in bench("table").err
    folder.record.write_text((results / record.name / "record.json").read_text())
    assert "not finished" not in bench("table").err


@pytest.mark.parametrize("words", [["list"], ["data", "stats", "walkers:tiny"]])
def test_closed_output_is_no_error(words):
    pipe, env = subprocess.PIPE, {**os.environ, "PYTHONUNBUFFERED": ""}
    program = [sys.executable, "-m", "benchmarks.cli", *words]
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, env=env) as running:
        running.stdout.close()
        assert b"Error" not in running.stderr.read()
        assert running.wait() == 141


def test_list_describes_every_name(bench):
    from baselines.backbones import BACKBONES
    from benchmarks.data.datasets.walkers import SIZES
    from benchmarks.evaluation.protocols import PROTOCOLS
    from benchmarks.experiments.settings import KEYS

    lines = bench("list").out.splitlines()
    described = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert set(KEYS) | {"mars", "walkers-gait", "small", "BASELINE+afa"} <= set(described)
    assert [size for size in SIZES if f":{size}" not in described["walkers:SIZE"]] == []
    assert set(BACKBONES.names()) - {"timm"} | {"timm:NAME"} <= set(described)
    assert {name: described[name] for name in PROTOCOLS} == {name: each.note for name, each in PROTOCOLS.items()}


def test_list_says_what_a_baseline_is_and_needs(bench):
    baselines = bench("list").out.partition("\n\n")[0].splitlines()[1:]
    lines = {line.split()[0]: line for line in baselines}
    assert lines["cosam"].endswith(
        "(reads order) [family: attention between frames; source: COSAM: Subramaniam et al., ICCV 2019, released code; "
        "needs: clips of T frames at test, the T and image size of its training]"
    )
    assert lines["flow-only"].endswith("; needs: optical flow]")
    assert "needs" not in lines["mean"]
    assert lines["tam-srm"].endswith("; needs: its own matcher at test]")
    assert [
        name for name in BASELINES.names() if "[family: " not in lines[name] or "; source: " not in lines[name]
    ] == []


def test_list_gives_sources_of_matchers(bench):
    lines = bench("list").out.partition("Matchers ")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["cssa", "nearest-frames"]
    assert lines[0].endswith(" [source: CSSA: Chen et al., CVPR 2018, released code]")


def test_list_agrees_with_the_classes():
    for name in BASELINES.names():
        kind, needs = BASELINES.get(name), facts_of(name).needs
        assert ("optical flow" in needs) == bool(kind.flow_fields), name
        assert ("attributes of the training people" in needs) == kind.uses_attributes, name
        assert ("clips of T frames at test" in needs) == (kind.test_clips == "exact"), name
        assert ("whole tracklets at test" in needs) == (kind.test_clips == "whole"), name


def test_doctor_names_missing_parts(bench):
    answer = bench("doctor")
    assert answer.status == 0
    assert "dukev" in answer.out
    assert "BENCH_DATA" in answer.out
    assert "torch" in answer.out


def test_data_stats_and_verify(bench, tmp_path):
    stats = bench("data", "stats", "walkers:tiny")
    assert stats.status == 0
    assert "query" in stats.out
    verified = bench("data", "verify", "walkers:tiny")
    assert verified.status == 0
    assert "every frame readable" in verified.out


def test_table_formats(bench, finished):
    lines = bench("table", "--format", "csv").out.splitlines()
    assert lines[0] == "data set,method,runs,R1,R5,R10,R20,mAP,M params,G MAC,frames/s,notes"
    assert lines[1].startswith("walkers:tiny,mean,1,")
    assert "| method" in bench("table", "--format", "github").out
    assert "protocol standard" in bench("table", "--protocol", "standard").out
    assert bench("table", "--format", "html").out.startswith("<table>")
    assert "--format word" in bench("table", "--format", "word").err
    assert "--feature x" in bench("table", "--feature", "x").err
    assert "--protocol: no 'strange'" in bench("table", "--protocol", "strange").err


def test_method_in_the_place_of_a_run_or_suite(bench, finished):
    _, record = finished
    assert f"`bench table --method {record.experiment.method}`" in bench("show", record.experiment.method).err
    assert "walkers:tiny" in bench("table", "--method", record.experiment.method).out
    assert "no finished runs of qan" in bench("table", "--method", "qan").err


def test_version_is_that_of_the_package(bench):
    assert bench("--version").out.split() == ["afa-bench", version("afa-bench")]


def test_comparison_of_two_trained_runs(bench, finished, tmp_path):
    _, record = finished
    assert bench("run", "--method", "max", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    answer = bench("compare", "max", record.name, "--gallery", tmp_path / "strips")
    assert answer.status == 0, answer.err
    assert f"mAP of {record.name}" in answer.out
    sentence = answer.out.splitlines()[0]
    latex = bench("compare", "max", record.name, "--format", "latex").out.splitlines()[0]
    assert (latex.count(r"\_"), latex.replace("\\", "")) == (sentence.count("_"), sentence)
    assert bench("compare", "max", record.name, "--format", "csv").out.startswith("data set,")
    assert [file.parent.name for file in sorted((tmp_path / "strips").glob("*/index.html"))][-1] == record.name
    assert len(list((tmp_path / "strips").glob("*/index.html"))) == 2

"""Runs with a fitted metric, what is stored of it, and results that follow from it; and validation during a training."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.evaluation.ranking import evaluate
from benchmarks.reporting.figures.curves import training
from benchmarks.runs.external_features import read_features
from benchmarks.runs.finished import finished_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records

XQDA = ("--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0", "--workers", "0", "--set", "metric=xqda")


@pytest.fixture
def xqda_run(bench, results):
    answer = bench("run", *XQDA)
    assert answer.status == 0, answer.err
    (record,) = load_records(results)
    return RunFolder(results / record.name), record


def test_stored_metric_gives_the_results(bench, xqda_run, tmp_path):
    folder, record = xqda_run
    assert set(record.phases) == {"fit", "extract", "evaluate"}
    assert bench("features", record.name, "--to", tmp_path).status == 0
    (query, queries), (gallery, others) = (
        read_features(tmp_path / f"{record.name}-{subset}.npz") for subset in ("query", "gallery")
    )
    with np.load(folder.fitted_metric) as stored:
        projection, signs = stored["before_projection"].astype(float), stored["before_signs"]
    query, gallery = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (query, gallery))
    distances = ((query[:, None] - gallery) @ projection) ** 2 @ signs
    expected = evaluate(distances, queries.pid, queries.camid, others.pid, others.camid).map
    (row,) = (row for row in record.metrics if (row.protocol, row.feature) == ("standard", "before"))
    assert row.mAP == pytest.approx(expected, abs=1e-3)


def test_stored_metric_is_used_elsewhere(bench, xqda_run, results):
    folder, record = xqda_run
    assert bench("eval", record.name, "--dataset", "walkers@2:tiny", "--workers", "0").status == 0
    assert bench("gallery", record.name, "--queries", "2", "--workers", "0").status == 0
    folder.fitted_metric.unlink()
    answer = bench("eval", record.name, "--dataset", "walkers@3:tiny", "--workers", "0")
    assert answer.status == 2
    assert "metric.npz: not found" in answer.err
    assert bench("run", *XQDA, "--fresh").status == 0
    assert folder.fitted_metric.exists()


def test_held_out_identities(bench, results):
    assert bench("run", *XQDA, "--set", "holdout=0.25").status == 0
    (record,) = load_records(results)
    assert {row.feature for row in record.metrics if row.protocol == "validation"} == {"before", "after"}


def test_validation_during_the_training_does_not_change_it(bench, results):
    words = ("run", "--method", "mean+afa", "--dataset", "walkers:tiny", "--epochs", 5, "--set", "holdout=0.5")
    words += ("--set", "metric=xqda", "--set", "erase=0.5")
    assert bench(*words).status == 0
    answer = bench(*words, "--set", "validate_every=2")
    assert answer.status == 0
    assert "validation mAP" in answer.err
    plain, validated = sorted(load_records(results), key=lambda record: len(record.experiment.settings))
    assert "validate_every" not in plain.experiment.settings
    assert validated.experiment.settings["validate_every"] == 2
    folders = [RunFolder(results / record.name) for record in (plain, validated)]
    weights = [load_file(folder.weights) for folder in folders]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    lines = [[json.loads(line) for line in folder.curves.read_text().splitlines()] for folder in folders]
    assert [line["epoch"] for line in lines[1] if "validation_mAP" in line] == [2, 4, 5]
    for metric in ("mAP", "R1"):
        last = lines[1][-1][f"validation_{metric}"]
        assert last == pytest.approx(getattr(validated.find_metrics("validation", "before"), metric), abs=1e-6)
    without = [{key: value for key, value in line.items() if "validation" not in key} for line in lines[1]]
    assert without == lines[0]
    panels = training(finished_runs(results)).panels
    (panel,) = [panel for panel in panels if panel.title == "validation mAP"]
    assert list(panel.lines[0].x) == [2, 4, 5]
    assert panel.lines[0].y[-1] == pytest.approx(100 * lines[1][-1]["validation_mAP"])


def test_validation_needs_held_out_identities(bench):
    answer = bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--set", "validate_every=2")
    assert answer.status == 2
    assert "set holdout" in answer.err.splitlines()[-1]


def test_external_features_have_no_training_tracklets(bench, tmp_path):
    columns = {"feature": np.eye(2), "pid": [1, 2], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", camid=[0, 0], **columns)
    np.savez(tmp_path / "g.npz", camid=[1, 1], **columns)
    files = ("--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench("score", *files, "--metric", "xqda")
    assert answer.status == 2
    assert "'xqda' is fitted on training tracklets, and there are none; use euclidean or cosine" in answer.err

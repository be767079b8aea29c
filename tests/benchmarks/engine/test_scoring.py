"""Runs with a fitted metric: its phase, what is stored of it, and results that follow from the stored metric."""

import numpy as np
import pytest

from benchmarks.evaluation import evaluate
from benchmarks.runs.external_features import read_features
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


def test_external_features_have_no_training_tracklets(bench, tmp_path):
    columns = {"feature": np.eye(2), "pid": [1, 2], "tracklet": ["a", "b"]}
    np.savez(tmp_path / "q.npz", camid=[0, 0], **columns)
    np.savez(tmp_path / "g.npz", camid=[1, 1], **columns)
    files = ("--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz")
    answer = bench("score", *files, "--metric", "xqda")
    assert answer.status == 2
    assert "'xqda' is fitted on training tracklets, and there are none; use euclidean or cosine" in answer.err

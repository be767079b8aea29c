"""Ranking on the device that holds the features, here a CPU, against the ranking that sorts. With a GPU, it runs there too."""

import numpy as np
import pytest
import torch

from baselines.interface.errors import UserError
from benchmarks.evaluation import gpu_ranking
from benchmarks.evaluation.distances import FeatureDistances
from benchmarks.evaluation.metrics import METRICS, fitted_metric
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.evaluation.ranking import evaluate_distances, evaluate_features

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def on_device(request, monkeypatch):
    """Features as tensors on a device, ranked there."""
    if request.param == "cpu":
        monkeypatch.setattr(FeatureDistances, "on_gpu", property(lambda each: isinstance(each.query, torch.Tensor)))
    return lambda *parts: [torch.from_numpy(part).to(request.param) for part in parts]


@pytest.fixture
def case(random_case):
    """Whole numbers as features, so that products are exact and many distances equal; labels of every kind."""
    _, query_pids, query_camids, gallery_pids, gallery_camids = random_case(5)
    draw = np.random.default_rng(5)
    query, gallery = (draw.integers(-2, 3, (len(part), 3)).astype(np.float32) for part in (query_pids, gallery_pids))
    return query, gallery, query_pids, query_camids, gallery_pids, gallery_camids


@pytest.mark.parametrize("limits", [(1 << 28, 1 << 27), (400, 1000)])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "fitted"])
def test_same_ranks_as_by_sorting(on_device, case, assert_same, monkeypatch, metric, limits):
    monkeypatch.setattr(gpu_ranking, "DISTANCES", limits[0])
    monkeypatch.setattr(gpu_ranking, "COMPARISONS", limits[1])
    query, gallery, *labels = case
    if metric == "cosine":  # of unit vectors along the axes, so that quotients are exact too
        query, gallery = (np.eye(3, dtype=np.float32)[part.astype(int) % 3][:, 0] * 2 for part in (query, gallery))
    if metric == "fitted":
        query, gallery = (np.eye(3, dtype=np.float32)[part.astype(int) % 3][:, 1] for part in (query, gallery))
        used = fitted_metric(np.array([[1, 2], [0, 1], [4, 1]], np.float32), np.array([1, -1], np.float32))
    else:
        used = METRICS[metric]
    expected, found = (
        evaluate_distances(FeatureDistances(*parts, used), *labels, list(PROTOCOLS.values()))
        for parts in ((query, gallery), on_device(query, gallery))
    )
    assert 0 < expected["standard"].map < 1
    for name in PROTOCOLS:
        assert_same(found[name], expected[name])


def test_every_metric_has_a_counterpart():
    assert {metric.to_distances for metric in METRICS.values()} <= gpu_ranking._DISTANCES.keys()


def test_float32_whatever_a_training_allows(on_device):
    # 1 + 2^-9 and 1 + 2^-10 are the same in bfloat16.
    query, gallery = on_device(np.float32([[1, 0]]), np.float32([[1 + 2**-9, 0], [1 + 2**-10, 0]]))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast(query.device.type, torch.bfloat16):
            result = evaluate_features(query, gallery, *map(np.array, ([1], [1], [2, 1], [2, 2])), ["standard"])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert result["standard"].map == 1


@pytest.mark.parametrize(
    ("query", "gallery", "words"),
    [
        ([[1, 2], [np.nan, 1]], [[1, 1], [1, 1]], "query features, row 1: NaN"),
        ([[1, 1], [1, 1]], [[3e38, 1], [1, 1]], "gallery features, row 0: .*too large"),
    ],
)
def test_features_that_are_no_numbers(on_device, query, gallery, words):
    with pytest.raises(UserError, match=words):
        evaluate_features(*on_device(np.float32(query), np.float32(gallery)), *[np.array([1, 2])] * 4, ["full"])

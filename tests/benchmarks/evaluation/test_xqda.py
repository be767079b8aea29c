"""XQDA compared with sums over all pairs, with its quadratic form, and on features with a nuisance direction."""

from typing import get_args, get_type_hints

import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.evaluation.distances import FeatureDistances, rows_of
from benchmarks.evaluation.metrics import FITTED_METRICS, METRICS, fit_metric, fitted_metric
from benchmarks.evaluation.ranking import evaluate_distances, named_protocols
from benchmarks.evaluation.xqda import RIDGE, draw_pairs, pair_covariances
from benchmarks.experiments.settings import Settings


def draw_people(seed, people, tracklets, dims, within=0.3, nuisance=0.0):
    """Features (N, D), pids and camids: `tracklets` of each person, each in a camera of its own.

    The last dimension says nothing of the person and has the deviation `nuisance`.
    """
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people), tracklets)
    features = rng.normal(size=(people, dims))[pids] + within * rng.normal(size=(len(pids), dims))
    features[:, -1] = nuisance * rng.normal(size=len(pids))
    return features.astype(np.float32), pids, np.tile(np.arange(tracklets), people)


def rows(metric, query, gallery):
    return np.array([row.copy() for row in rows_of(FeatureDistances(query, gallery, metric), np.arange(len(gallery)))])


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def brute_force(x, z, x_pids, z_pids):
    """Intra, extra and the number of intra pairs, by a loop over all pairs."""
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for a, pid in zip(x, x_pids, strict=True):
        for b, other in zip(z, z_pids, strict=True):
            sums[pid == other] = sums[pid == other] + np.outer(a - b, a - b)
            counts[pid == other] += 1
    return sums[True] / counts[True], sums[False] / counts[False], counts[True]


def test_covariances():
    rng = np.random.default_rng(0)
    x_pids, z_pids = rng.integers(0, 6, 25), rng.integers(1, 8, 31)  # of unequal sizes; some people in one set only
    x, z = rng.normal(size=(25, 5)), rng.normal(size=(31, 5))
    intra, extra, pairs = pair_covariances(x, z, x_pids, z_pids)
    expected_intra, expected_extra, expected_pairs = brute_force(x, z, x_pids, z_pids)
    np.testing.assert_allclose(intra, expected_intra, atol=1e-12)
    np.testing.assert_allclose(extra, expected_extra, atol=1e-12)
    assert pairs == expected_pairs == sum((x_pids == pid).sum() * (z_pids == pid).sum() for pid in range(8))


def test_drawn_pairs():
    _, pids, camids = draw_people(0, people=9, tracklets=5, dims=2)
    camids //= 2  # two tracklets of a person in one camera
    first, second = draw_pairs(pids, camids, seed=3)
    np.testing.assert_array_equal(pids[first], pids[second])
    assert (camids[first] != camids[second]).all()
    assert len(set(first) | set(second)) == 2 * len(first) > 0
    np.testing.assert_array_equal(draw_pairs(pids, camids, seed=3), (first, second))
    assert draw_pairs(pids, camids, seed=4)[0].tolist() != first.tolist()


def test_every_tracklet_is_paired():
    _, pids, camids = draw_people(0, people=3, tracklets=4, dims=2)
    first, second = draw_pairs(pids, camids, seed=0)
    assert sorted([*first, *second]) == list(range(12))


def quadratic_form(features, pids, camids, seed):
    """W M W^T in float64, from covariances by the loop over all pairs, in all D dimensions."""
    first, second = draw_pairs(pids, camids, seed)
    x = unit(features.astype(np.float64))
    intra, extra, _ = brute_force(x[first], x[second], pids[first], pids[second])
    intra += RIDGE * np.eye(len(intra))
    left, singular, _ = np.linalg.svd(np.linalg.inv(intra) @ extra)
    w = left[:, singular > 1]
    return w @ (np.linalg.inv(w.T @ intra @ w) - np.linalg.inv(w.T @ extra @ w)) @ w.T


@pytest.mark.parametrize("dims", [6, 60])  # 60: more than the 40 tracklets, so that the QR path is taken
def test_quadratic_form(dims):
    training = draw_people(1, people=10, tracklets=4, dims=dims)
    metric = fit_metric("xqda", *training, seed=5)
    form = quadratic_form(*training, seed=5)
    query, gallery = draw_people(2, 5, 2, dims)[0], draw_people(3, 8, 2, dims)[0]
    differences = unit(query.astype(np.float64))[:, None] - unit(gallery.astype(np.float64))
    expected = np.einsum("qgd,de,qge->qg", differences, form, differences)
    np.testing.assert_allclose(rows(metric, query, gallery), expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_negative_distances():
    rng = np.random.default_rng(0)
    query, gallery, projection = (rng.normal(size=(rows, 3)).astype(np.float32) for rows in (4, 7, 3))
    signs = np.array([1, -1, -1], np.float32)
    differences = (unit(query)[:, None] - unit(gallery)) @ projection
    expected = (differences**2 * signs).sum(axis=2)
    assert expected.min() < 0 < expected.max()
    np.testing.assert_allclose(rows(fitted_metric(projection, signs), query, gallery), expected, atol=1e-5)


@pytest.mark.parametrize("dims", [12, 90])
def test_rotation(dims):
    training, pids, camids = draw_people(4, people=20, tracklets=4, dims=dims)
    query, gallery = draw_people(5, 6, 2, dims)[0], draw_people(6, 30, 2, dims)[0]
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(dims, dims)))[0].astype(np.float32)
    plain = rows(fit_metric("xqda", training, pids, camids, 0), query, gallery)
    rotated = rows(fit_metric("xqda", training @ rotation, pids, camids, 0), query @ rotation, gallery @ rotation)
    np.testing.assert_allclose(rotated, plain, rtol=1e-3, atol=1e-4 * plain.max())
    np.testing.assert_array_equal(np.argsort(rotated, axis=1), np.argsort(plain, axis=1))


def test_nuisance_direction():
    training = draw_people(8, people=100, tracklets=4, dims=10, nuisance=8)
    features, pids, camids = draw_people(9, people=50, tracklets=2, dims=10, nuisance=8)
    query, gallery = camids == 0, camids == 1
    labels = pids[query], camids[query], pids[gallery], camids[gallery]

    def map_under(metric):
        distances = FeatureDistances(features[query], features[gallery], metric)
        return evaluate_distances(distances, *labels, named_protocols(["standard"]))["standard"].map

    assert map_under(METRICS["euclidean"]) < 0.4
    assert map_under(fit_metric("xqda", *training, seed=0)) > 0.8


def test_too_few_people():
    features, pids, _ = draw_people(0, people=3, tracklets=2, dims=4)
    with pytest.raises(UserError, match=r"^metric=xqda: needs two training identities"):
        fit_metric("xqda", features, pids, np.zeros(6, int), seed=0)


def test_two_people_suffice():
    metric = fit_metric("xqda", *draw_people(0, people=2, tracklets=4, dims=4), seed=0)
    assert metric.projection.shape[0] == 4
    assert metric.projection.dtype == metric.signs.dtype == np.float32


def test_people_who_are_alike_keep_one_direction():
    """Each has the same two tracklets, so that no direction tells them apart."""
    features = np.tile(np.eye(3, dtype=np.float32)[:2], (6, 1))
    metric = fit_metric("xqda", features, np.arange(6).repeat(2), np.tile([0, 1], 6), seed=0)
    assert metric.projection.shape == (3, 1)


def test_features_that_are_not_finite():
    features, pids, camids = draw_people(0, people=6, tracklets=4, dims=4)
    features[3] = np.nan
    with pytest.raises(UserError, match=r"^metric=xqda: cannot be fitted .*use metric=euclidean or cosine$"):
        fit_metric("xqda", features, pids, camids, seed=0)


def test_settings_offer_every_metric():
    assert get_args(get_type_hints(Settings)["metric"]) == (*METRICS, *FITTED_METRICS)

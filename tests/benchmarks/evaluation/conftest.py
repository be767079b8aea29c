"""Random cases and comparisons that the tests of rankings and of distances share."""

import numpy as np
import pytest


@pytest.fixture
def assert_same():
    return _assert_same


@pytest.fixture
def random_case():
    return _random_case


def _assert_same(a, b):
    assert a.map == pytest.approx(b.map, abs=1e-12, nan_ok=True)
    np.testing.assert_array_equal(a.first_hit_rank, b.first_hit_rank)
    np.testing.assert_allclose(a.average_precision, b.average_precision, atol=1e-12)
    np.testing.assert_allclose(a.cmc, b.cmc, atol=1e-12)


def _random_case(seed, queries=40, gallery=150):
    """Distances without ties; labels with junk, distractors (pid 0), same-camera rows and queries without a match."""
    rng = np.random.default_rng(seed)
    distances = rng.permutation(queries * gallery).reshape(queries, gallery) / 7
    query_labels = rng.integers(1, 16, queries), rng.integers(1, 4, queries)
    return distances, *query_labels, rng.integers(-1, 13, gallery), rng.integers(1, 4, gallery)

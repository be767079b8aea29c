"""The test that flips whole people between two methods, and the smallest p that flips can reach."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting.statistics import fewest_units, permutation_test

from .simulated_results import people, two_methods


def test_permutation_agrees_with_scipy(rng):
    pids = people(rng, 9)
    a, b = two_methods(rng, pids, (0.3, 0.2), seeds=2, precision=True)
    sums = np.bincount(pids, (b - a).mean(0))
    theirs = stats.permutation_test((sums,), np.sum, permutation_type="samples").pvalue
    ours = permutation_test(b, a, pids, rng, flips=40_000)
    assert ours == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 40_000))


def test_permutation_rejects_at_the_nominal_rate(rng):
    rejected = 0
    for _ in range(1000):
        pids = people(rng, 60)
        a, b = two_methods(rng, pids, (0.2, 0.2), precision=True)
        rejected += permutation_test(a, b, pids, rng, flips=199) <= 0.05
    assert 0.03 <= rejected / 1000 <= 0.07


def test_permutation_counts_the_measured_order(rng):
    a, b = np.ones((1, 40)), np.zeros((1, 40))
    assert permutation_test(a, b, people(rng, 40, 1), rng, flips=99) == 1 / 100
    assert permutation_test(a, a, people(rng, 40, 1), rng, flips=99) == 1
    assert permutation_test(a, b, people(rng, 2, 20), rng, flips=4000) == pytest.approx(0.5, abs=0.04)


def test_same_generator_gives_the_same_p(rng):
    pids = people(rng, 30)
    a, b = two_methods(rng, pids, precision=True)
    first, second = (permutation_test(a, b, pids, np.random.default_rng(3), flips=500) for _ in range(2))
    assert first == second


def test_runs_count_alike_in_a_permutation(rng):
    """The second run has only three of the ten queries: each of its queries counts more, so that both runs count alike."""
    values, pids = np.full((2, 10), np.nan), np.arange(5).repeat(2)
    values[0], values[1, [0, 3, 8]] = rng.normal(0.2, 1, 10), [-1.0, -1.0, 2.0]
    parts = np.bincount(pids, np.nan_to_num(values[0]) / 10 + np.nan_to_num(values[1]) / 3)
    theirs = stats.permutation_test((parts,), np.sum, permutation_type="samples").pvalue
    ours = permutation_test(values, np.where(np.isnan(values), np.nan, 0.0), pids, rng, flips=10_000)
    assert ours == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 10_000))


@pytest.mark.parametrize(("alpha", "units"), [(0.05, 6), (0.01, 8), (0.0625, 6)])
def test_fewest_units_is_the_first_below_alpha(alpha, units):
    assert fewest_units(alpha) == units
    assert fewest_units() == fewest_units(0.05)
    p = {
        number: stats.permutation_test((np.arange(1.0, number + 1),), np.sum, permutation_type="samples").pvalue
        for number in (units - 1, units)
    }
    assert p[units] < alpha <= p[units - 1]

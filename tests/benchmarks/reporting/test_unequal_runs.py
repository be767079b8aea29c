"""Statistics of few runs, of runs with other queries, and of splits."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting.statistics import MOST_SEEDS, difference, mean, over_seeds, power_of, seeds_needed

PIDS = np.repeat(np.arange(4), 2)


def test_a_run_counts_as_much_as_one_with_more_queries():
    # The second run has two matched queries, of which one is a hit: (1/8 + 1/2) / 2, and not 2 hits of 10.
    values = np.full((2, 8), np.nan)
    values[0] = [1, 0, 0, 0, 0, 0, 0, 0]
    values[1, [0, 2]] = [1, 0]
    assert mean(values, PIDS, "methods").estimate == pytest.approx((1 / 8 + 1 / 2) / 2)
    others = np.where(np.isnan(values), np.nan, 0.0)
    assert difference(values, others, PIDS, "methods").estimate == pytest.approx((1 / 8 + 1 / 2) / 2)


def test_percentages_are_refused_as_fractions():
    with pytest.raises(ValueError, match="fractions from 0 to 1"):
        mean(np.full((1, 8), 1.5), PIDS, "checkpoints")


def test_intervals_name_their_question():
    values = np.array([[1, 0, 1, 0, 1, 0, 0, 0.0]])
    assert mean(values, PIDS, "checkpoints").question == "checkpoints"
    assert [over_seeds([np.ones(seeds)]).question for seeds in (1, 3)] == ["training"] * 2


def test_two_seeds_have_students_t_with_one_degree_of_freedom():
    # All people gain alike, so that only the seeds have an error.
    gains = np.array([0.1, 0.3])
    values = np.tile(gains[:, None], (1, len(PIDS)))
    interval = difference(values, np.zeros_like(values), PIDS, "methods")
    by_scipy = stats.t.interval(0.95, 1, gains.mean(), stats.sem(gains))
    assert (interval.low, interval.high) == pytest.approx(by_scipy)


@pytest.mark.parametrize("splits", [1, 4, 10])
@pytest.mark.parametrize("margin", [None, 0.3])
def test_splits_count_in_the_number_of_seeds(splits, margin):
    effect, variances = (0.2 if margin is None else 0.05), (0.02 * splits, 0.01 * splits)
    found = seeds_needed(effect, variances, 0.01, margin, splits=splits)
    enough = [n for n in range(3, 60) if power_of(effect, variances, n, 0.01, margin, splits) >= 0.8]
    assert found == enough[0]


def test_more_than_the_most_seeds_are_no_answer():
    # A normal test takes (1.960 + 0.842)² s² / effect² seeds: about 1,200 of this effect and 800 of the larger one.
    smaller, larger = (2.802 / np.sqrt(count) for count in (1200, 800))
    assert power_of(smaller, (1.0,), MOST_SEEDS, 0.05) < 0.8 < power_of(smaller, (1.0,), 1300, 0.05)
    assert seeds_needed(smaller, (1.0,), 0.05) is None
    assert seeds_needed(larger, (1.0,), 0.05) == pytest.approx(800, abs=5)
    variance = 1.27123302  # of which exactly that many seeds are enough
    assert power_of(0.1, (variance,), MOST_SEEDS - 1, 0.05) < 0.8 <= power_of(0.1, (variance,), MOST_SEEDS, 0.05)
    assert seeds_needed(0.1, (variance,), 0.05) == MOST_SEEDS


def test_sign_of_an_effect_does_not_change_the_power():
    for margin in (None, 0.5):
        powers = [power_of(sign * 0.2, (0.1, 0.2), 10, 0.05, margin) for sign in (1, -1)]
        assert powers[0] == pytest.approx(powers[1], abs=1e-12)
        assert 0.05 < powers[0] < 0.95

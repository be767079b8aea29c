"""The planned number of seeds shows an effect as often as planned, as simulated runs and scipy's tests confirm."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting.sample_size import MOST_SEEDS, power_of, seeds_needed, spread
from benchmarks.reporting.statistics import over_seeds


@pytest.mark.parametrize(("variances", "alpha"), [((1.0,), 0.05), ((0.5, 0.5), 0.01), ((4.0, 1.0), 0.01)])
def test_planned_power_is_found(rng, variances, alpha):
    effect = 1.3
    seeds = seeds_needed(effect, variances, alpha)
    assert power_of(effect, variances, seeds - 1, alpha) < 0.8
    found = share_decided(rng, effect, variances, seeds, lambda each: each.p < alpha)
    assert 0.76 <= found <= 0.84


def test_planned_power_to_find_nothing(rng):
    seeds = seeds_needed(0.2, (1.0,), 0.05, margin=1.0)
    found = share_decided(rng, 0.2, (1.0,), seeds, lambda each: each.p_negligible(1.0) < 0.05)
    assert 0.76 <= found <= 0.84


def share_decided(rng, effect, variances, seeds, decides, repetitions=2000):
    decided = 0
    for _ in range(repetitions):
        parts = [rng.normal(effect * (number == 0), math.sqrt(each), seeds) for number, each in enumerate(variances)]
        decided += decides(over_seeds(parts))
    return decided / repetitions


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("baselines", [1, 2])
def test_planned_power_is_found_on_average_over_pilots(seeds, baselines):
    """The difference has a deviation of 1 in pilots and runs; scipy's tests judge the runs."""
    draw, level, effect, found = np.random.default_rng(1), 0.05 / 7, 0.65, []
    for _ in range(300):
        variances, df = spread(draw.normal(0, baselines**-0.5, (baselines, seeds)))
        planned = seeds_needed(effect, variances, level, df=df)
        runs = draw.normal(0, baselines**-0.5, (baselines, planned, 4))  # four studies by each plan
        if baselines == 1:
            found.append(stats.ttest_1samp(runs[0] + effect, 0).pvalue < level)
        else:
            found.append(stats.ttest_ind(runs[0] + effect, runs[1], equal_var=False).pvalue < level)
    assert 0.76 <= np.mean(found) <= 0.84


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_power_of_two_baselines_with_few_seeds(rng, seeds):
    """As by scipy's Welch test, for an effect that a normal test finds 8 or 9 times in 10."""
    runs = rng.normal(0, 1, (2, seeds, 20_000))
    effect = 5.5 / math.sqrt(seeds)
    found = np.mean(stats.ttest_ind(runs[0] + effect, runs[1], equal_var=False).pvalue < 0.05 / 7)
    assert power_of(effect, (1.0, 1.0), seeds, 0.05 / 7) == pytest.approx(found, abs=0.015)


@pytest.mark.parametrize("df", [2, 4, 27])
def test_power_by_an_estimated_variance_is_the_mean_over_what_it_may_be(df):
    """The mean of the power by Student's noncentral t, over a thousand quantiles of the true variance."""
    true = df / stats.chi2.ppf((np.arange(1000) + 0.5) / 1000, df)
    expected = stats.nct.sf(stats.t.isf(0.005, 11), 11, 1.2 * np.sqrt(12 / true)).mean()
    assert power_of(1.2, (1.0,), 12, 0.01, df=df) == pytest.approx(expected, abs=0.003)


def test_power_against_simulated_tests(rng):
    """Two baselines on four splits, at a level of 0.2: tests against 0, and against a margin."""
    runs = [rng.normal(effect, deviation, (2000, 4, 3)) for effect, deviation in ((0.5, 1), (0, 0.5))]
    found = [over_seeds(blocks) for blocks in zip(*runs, strict=True)]
    shown = np.mean([each.p < 0.2 for each in found])
    assert power_of(0.5, (1.0, 0.25), 3, 0.2, splits=4) == pytest.approx(shown, abs=0.04)
    small = np.mean([each.p_negligible(1.2) < 0.2 for each in found])
    assert power_of(0.5, (1.0, 0.25), 3, 0.2, margin=1.2, splits=4) == pytest.approx(small, abs=0.04)


def test_power_without_noise():
    assert [power_of(effect, (0.0,), 3, 0.05) for effect in (-0.1, 0.0, 0.1)] == [1, 0, 1]
    assert [power_of(effect, (0.0,), 3, 0.05, margin=0.2) for effect in (-0.2, -0.1, 0.1, 0.2)] == [0, 1, 1, 0]


def test_sign_of_an_effect_does_not_change_the_power():
    for margin in (None, 0.5):
        powers = [power_of(sign * 0.2, (0.1, 0.2), 10, 0.05, margin) for sign in (1, -1)]
        assert powers[0] == pytest.approx(powers[1], abs=1e-12)
        assert 0.05 < powers[0] < 0.95


@pytest.mark.parametrize(
    ("effect", "margin"), [(0.5, None), (0.8, None), (1.1, None), (2.0, None), (0.1, 1.0), (0.2, 0.9)]
)
def test_no_fewer_seeds_suffice(effect, margin):
    seeds = seeds_needed(effect, (1.0,), 0.02, margin)
    assert isinstance(seeds, int)
    assert power_of(effect, (1.0,), seeds - 1, 0.02, margin) < 0.8 <= power_of(effect, (1.0,), seeds, 0.02, margin)


def test_seeds_that_no_effect_needs():
    assert seeds_needed(0.0, (1.0,), 0.05) is None
    assert seeds_needed(100.0, (1.0,), 0.05) == 3
    assert seeds_needed(1.0, (1.0,), 0.05, splits=10) < seeds_needed(1.0, (1.0,), 0.05)


@pytest.mark.parametrize("splits", [1, 4, 10])
@pytest.mark.parametrize("margin", [None, 0.3])
def test_splits_count_in_the_number_of_seeds(splits, margin):
    effect, variances = (0.2 if margin is None else 0.05), (0.02 * splits, 0.01 * splits)
    found = seeds_needed(effect, variances, 0.01, margin, splits=splits)
    enough = [n for n in range(3, 60) if power_of(effect, variances, n, 0.01, margin, splits) >= 0.8]
    assert found == enough[0]


def test_more_than_the_most_seeds_are_no_answer():
    # A normal test needs (1.960 + 0.842)² s² / effect² seeds: about 1,200 for the smaller effect and 800 for the larger one.
    smaller, larger = (2.802 / np.sqrt(count) for count in (1200, 800))
    assert power_of(smaller, (1.0,), MOST_SEEDS, 0.05) < 0.8 < power_of(smaller, (1.0,), 1300, 0.05)
    assert seeds_needed(smaller, (1.0,), 0.05) is None
    assert seeds_needed(larger, (1.0,), 0.05) == pytest.approx(800, abs=5)
    variance = 1.27123302  # with which exactly MOST_SEEDS are enough
    assert power_of(0.1, (variance,), MOST_SEEDS - 1, 0.05) < 0.8 <= power_of(0.1, (variance,), MOST_SEEDS, 0.05)
    assert seeds_needed(0.1, (variance,), 0.05) == MOST_SEEDS


def test_spread_by_hand():
    """Variances 2 and 8 with one degree of freedom each; over two splits, variances 1 and 4 with two degrees each."""
    assert spread([np.array([0.0, 2.0]), np.array([0.0, 4.0])]) == ((2, 8), pytest.approx(3 * 100 / 68 - 2))
    blocks = [np.array([[0.0, 2.0], [5.0, 5.0]]), np.array([[0.0, 4.0], [1.0, 1.0]])]
    assert spread(blocks) == ((1, 4), pytest.approx(4 * 25 / 17 - 2))
    assert spread([np.array([[0.0], [2.0]])]) == ((2,), 1)  # splits of one seed stand for seeds
    assert spread([np.ones(3)]) == ((0,), 2)

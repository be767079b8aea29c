"""Intervals have the stated coverage, and agree with scipy.stats where it computes the same."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from benchmarks.reporting.statistics import (
    Interval,
    difference,
    difference_over_splits,
    holm,
    mean,
    of_one_more,
    over_seeds,
    over_splits,
    verdict,
)

from .simulated_results import people, two_methods

PIDS = np.repeat(np.arange(4), 2)


# Coverage. A share of 2,000 has a standard deviation of 0.5 points of its own; the draws are fixed.


@pytest.mark.parametrize(
    ("figure", "identities", "errors", "precision"),
    [
        ("mean", 100, (0.03, 0.03), False),
        ("mean", 200, (0.03, 0.02), False),
        ("mean", 626, (0.12, 0.1), False),
        ("mean", 100, (0.2, 0.18), True),
        ("difference", 100, (0.1, 0.08), False),
        ("difference", 300, (0.03, 0.02), False),
        ("difference", 100, (0.2, 0.18), True),
    ],
)
def test_checkpoint_interval_coverage(rng, figure, identities, errors, precision):
    assert 0.94 <= covered(rng, "checkpoints", figure, identities, errors, precision=precision) <= 0.96


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("figure", ["mean", "difference"])
def test_method_interval_coverage(rng, figure, seeds):
    assert 0.94 <= covered(rng, "methods", figure, 100, (0.1, 0.08), seeds=seeds, seed_spread=0.2) <= 0.96


def test_method_p_is_conservative(rng):
    # Where nothing differs, and three seeds tell of nine tenths of the variance.
    of_seeds = 0.9 * stats.chi2.rvs(2, size=3000, random_state=rng) / 2
    sources = [((math.sqrt(variance), 2), (math.sqrt(0.1), 99)) for variance in of_seeds]
    p = np.array([Interval(rng.standard_normal(), 0, 0, "methods", errors).p for errors in sources])
    for level in (0.05, 0.01, 0.003):
        assert (p < level).mean() <= level + 2.5 * math.sqrt(level / 3000)


def covered(rng, question, figure, identities, errors, **world):
    held = 0
    for _ in range(2000):
        pids = people(rng, identities)
        a, b = two_methods(rng, pids, errors, **world)
        if figure == "mean":
            interval, truth = mean(a, pids, question), 1 - errors[0]
        else:
            interval, truth = difference(b, a, pids, question), errors[0] - errors[1]
        held += interval.low <= truth <= interval.high
    return held / 2000


# Against scipy.stats.


def test_one_query_each_is_the_paired_t_test(rng):
    pids = people(rng, 50, 1)
    a, b = two_methods(rng, pids, precision=True)
    ours, theirs = difference(a, b, pids, "checkpoints"), stats.ttest_rel(a[0], b[0])
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.p == pytest.approx(theirs.pvalue)


def test_two_seeds_have_students_t_with_one_degree_of_freedom():
    # All people gain alike, so that only the seeds have an error.
    gains = np.array([0.1, 0.3])
    values = np.tile(gains[:, None], (1, len(PIDS)))
    interval = difference(values, np.zeros_like(values), PIDS, "methods")
    by_scipy = stats.t.interval(0.95, 1, gains.mean(), stats.sem(gains))
    assert (interval.low, interval.high) == pytest.approx(by_scipy)


def test_mean_agrees_with_scipys_bootstrap(rng):
    pids = people(rng, 300)
    (values, _) = two_methods(rng, pids, (0.2, 0.2), seeds=2, precision=True)
    sums = np.bincount(pids, values.mean(0))
    theirs = stats.bootstrap(
        (sums, np.bincount(pids)),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        rng=rng,
    )
    ours = mean(values, pids, "checkpoints")
    assert error(ours) == pytest.approx(theirs.standard_error, rel=0.04)
    expected = tuple(theirs.confidence_interval)
    assert (ours.low, ours.high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_seeds_alone_give_students_t(rng):
    by_seed = rng.normal(0.02, 0.01, 4)
    a = np.full((4, 30), 0.5)
    ours = difference(a + by_seed[:, None], a, people(rng, 10, 3), "methods")
    theirs = stats.ttest_1samp(by_seed, 0)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()), rel=1e-6)
    assert ours.p == pytest.approx(theirs.pvalue)


# By hand.


def test_figure_is_the_mean_over_queries():
    values, pids = np.array([[1.0, 1, 1, 0]]), np.array([7, 7, 7, 9])
    assert mean(values, pids, "checkpoints").estimate == 0.75


def test_a_run_counts_as_much_as_one_with_more_queries():
    # The second run has two matched queries, of which one is a hit: (1/8 + 1/2) / 2, and not 2 hits of 10.
    values = np.full((2, 8), np.nan)
    values[0] = [1, 0, 0, 0, 0, 0, 0, 0]
    values[1, [0, 2]] = [1, 0]
    assert mean(values, PIDS, "methods").estimate == pytest.approx((1 / 8 + 1 / 2) / 2)
    others = np.where(np.isnan(values), np.nan, 0.0)
    assert difference(values, others, PIDS, "methods").estimate == pytest.approx((1 / 8 + 1 / 2) / 2)


def test_copied_queries_add_no_evidence(rng):
    pids = people(rng, 30)
    a, b = two_methods(rng, pids, precision=True)
    twice = [np.tile(each, 2) for each in (a, b)]
    assert bounds(difference(*twice, np.tile(pids, 2), "checkpoints")) == pytest.approx(
        bounds(difference(a, b, pids, "checkpoints"))
    )


def test_unmatched_queries_do_not_count(rng):
    pids = people(rng, 30)
    (values, _) = two_methods(rng, pids, seeds=3, precision=True)
    dropped = (pids == 4) | (rng.random(len(pids)) < 0.1)
    holed = np.where(dropped, np.nan, values)
    for question in ("checkpoints", "methods"):
        expected = mean(values[:, ~dropped], pids[~dropped], question)
        assert bounds(mean(holed, pids, question)) == pytest.approx(bounds(expected))


def test_person_is_one_unit_over_splits(rng):
    values = rng.random((2, 40))
    alone = mean(values[:1], np.arange(40), "checkpoints")
    same_results_in_both = mean(np.repeat(values[:1], 2, 0), np.arange(40), "checkpoints")
    assert error(same_results_in_both) == pytest.approx(error(alone))
    values[0, :20] = values[1, 20:] = np.nan  # each person is tested in one of two splits
    halves = [np.std(half[~np.isnan(half)], ddof=1) / math.sqrt(20) for half in values]
    assert error(mean(values, np.arange(40), "checkpoints")) == pytest.approx(math.hypot(*halves) / 2, rel=0.03)


def test_equal_seeds_leave_identity_noise(rng):
    pids = people(rng, 40)
    a, b = (np.repeat(each, 3, 0) for each in two_methods(rng, pids, precision=True))
    assert bounds(difference(a, b, pids, "methods")) == pytest.approx(bounds(difference(a, b, pids, "checkpoints")))


def test_one_seed_is_unbounded_for_methods(rng):
    pids = people(rng, 40)
    a, b = two_methods(rng, pids)
    assert bounds(difference(a, b, pids, "methods")) == (-math.inf, math.inf)
    assert bounds(mean(a, pids, "methods")) == bounds(mean(np.ones_like(a), pids, "methods")) == (0, 1)
    assert difference(a, b, pids, "methods").p == 1


def test_intervals_name_their_question():
    values = np.array([[1, 0, 1, 0, 1, 0, 0, 0.0]])
    assert mean(values, PIDS, "checkpoints").question == "checkpoints"
    assert [over_seeds([np.ones(seeds)]).question for seeds in (1, 3)] == ["training"] * 2


def test_mean_interval_is_symmetric_within_0_and_1(rng):
    pids = people(rng, 50)
    (values, _) = two_methods(rng, pids, (0.02, 0.02))
    ours, mirrored = mean(values, pids, "checkpoints"), mean(1 - values, pids, "checkpoints")
    assert 0 < ours.low < ours.high < 1
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx(bounds(ours))


def test_all_hits_use_clopper_pearson():
    pids = np.arange(100)
    exact = stats.binomtest(100, 100).proportion_ci(method="exact")
    assert bounds(mean(np.ones((3, 100)), pids, "checkpoints")) == pytest.approx((exact.low, 1))
    assert bounds(mean(np.zeros((3, 100)), pids, "checkpoints")) == pytest.approx((0, 1 - exact.low))


def test_overlapping_splits_by_hand():
    ours = over_splits(np.array([1.0, 2, 3]), test_to_train=1)
    half = 4.302653 * math.sqrt(1 * (1 / 3 + 1))  # t(2), s² = 1
    assert bounds(ours) == pytest.approx((2 - half, 2 + half))
    assert bounds(over_splits(np.array([1.0]), 1)) == (-math.inf, math.inf)
    two = over_splits(np.array([1.0, 3]), test_to_train=1)
    half = stats.t.ppf(0.975, 1) * math.sqrt(2 * (1 / 2 + 1))
    assert bounds(two) == pytest.approx((2 - half, 2 + half))
    assert two.question == "methods"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)


def test_one_baseline_is_the_paired_t_test(rng):
    a, b = rng.normal(0.5, 0.02, (2, 7))
    ours, theirs = over_seeds([a - b]), stats.ttest_rel(a, b)
    assert bounds(ours) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.p == pytest.approx(theirs.pvalue)


def test_two_baselines_are_welchs_t_test(rng):
    a, b = rng.normal(0.5, 0.02, 7), rng.normal(0.4, 0.09, 7)
    ours, theirs = over_seeds([a, -b]), stats.ttest_ind(a, b, equal_var=False)
    assert bounds(ours) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.p == pytest.approx(theirs.pvalue)


def test_splits_are_strata_by_hand():
    ours = over_seeds([np.array([[0.0, 2.0], [10.0, 14.0]])])  # variances 2 and 8 within the splits: their mean is 5
    half = 4.302653 * math.sqrt(5 / 4)  # t(2) of four runs
    assert bounds(ours) == pytest.approx((6.5 - half, 6.5 + half))
    one_each, seeds = over_seeds([np.array([[1.0], [2.0], [4.0]])]), over_seeds([np.array([1.0, 2.0, 4.0])])
    assert bounds(one_each) == bounds(seeds)
    assert bounds(over_seeds([np.array([1.0])])) == (-math.inf, math.inf)


def test_equivalence_is_two_one_sided_tests(rng):
    figures = rng.normal(0.001, 0.002, 8)
    below, above = (
        stats.ttest_1samp(figures, limit, alternative=side).pvalue
        for limit, side in ((-0.004, "greater"), (0.004, "less"))
    )
    assert over_seeds([figures]).p_negligible(0.004) == pytest.approx(max(below, above))
    assert over_seeds([np.full(3, 0.001)]).p_negligible(0.004) == 0
    assert over_seeds([np.full(3, 0.005)]).p_negligible(0.004) == 1


def test_other_people_over_splits_by_hand(rng):
    # Every person in every split, one query each: the table of splits and people itself, averaged over two seeds.
    values = rng.normal(0, 1, (3, 2, 20))
    runs, splits = values.reshape(6, 20), np.arange(3).repeat(2)
    zeros = np.zeros_like(runs)
    assert bounds(difference_over_splits(runs, zeros, np.arange(20), splits)) == pytest.approx(
        bounds(difference(values.mean(axis=1), np.zeros((3, 20)), np.arange(20), "methods"))
    )


@pytest.mark.parametrize(
    ("estimate", "p", "p_negligible", "expected"),
    [
        (2, 0.01, 1, "SUPPORTED"),
        (-2, 0.01, 1, "CONTRADICTED"),
        (0.1, 0.5, 0.01, "NEGLIGIBLE"),
        (0.1, 0.01, 0.01, "NEGLIGIBLE"),
        (-0.1, 0.01, 0.01, "NEGLIGIBLE"),
        (0.1, 0.05, 0.05, "UNDECIDED"),
    ],
)
def test_verdicts(estimate, p, p_negligible, expected):
    assert verdict(estimate, p, p_negligible) == expected


def test_unpaired_values_are_refused(rng):
    values, pids = np.ones((1, 4)), np.array([0, 0, 1, 1])
    holed = values.copy()
    holed[0, 2] = np.nan
    for other in (holed, np.ones((2, 4))):
        with pytest.raises(ValueError, match="paired"):
            difference(values, other, pids, "checkpoints")
    with pytest.raises(ValueError, match=r"\(S, Q\)"):
        mean(values, pids[:3], "checkpoints")
    with pytest.raises(ValueError, match="fractions"):
        mean(100 * values, pids, "checkpoints")


def test_percentages_are_refused_as_fractions():
    with pytest.raises(ValueError, match="fractions from 0 to 1"):
        mean(np.full((1, 8), 1.5), PIDS, "checkpoints")


def bounds(interval):
    return interval.low, interval.high


def error(interval):
    ((found, _),) = interval.errors
    return found


@pytest.mark.parametrize(("estimate", "expected"), [(0.02, "SUPPORTED"), (-0.02, "CONTRADICTED")])
def test_verdict_is_by_the_sign_of_small_differences(estimate, expected):
    assert verdict(estimate, 0.01, 1.0).name == expected


def test_missing_queries_count_for_nothing_over_splits(rng):
    values = rng.normal(0, 1, (3, 2, 20))
    values[:, 1, :5] = np.nan  # in one of the two seeds of each split
    runs, splits = values.reshape(6, 20), np.arange(3).repeat(2)
    zeros = np.where(np.isnan(runs), np.nan, 0.0)
    found = difference_over_splits(runs, zeros, np.arange(20), splits)
    assert found.estimate == pytest.approx(np.nanmean(values, axis=1).mean())


@pytest.mark.parametrize("seeds", range(2, 9))
def test_a_difference_without_any_spread_has_no_p_to_speak_of(seeds):
    figures = np.full(seeds, 0.5)  # halves and quarters are exact: the spread is 0
    assert over_seeds([figures, figures - 0.75]).p == 0
    people_alone = Interval(0.1, 0.0, 0.2, "methods", ((0.0, seeds - 1), (0.02, 99)))
    assert people_alone.p == pytest.approx(2 * stats.t.sf(5, 99))


def test_other_levels_are_students_t(rng):
    """At a level of 0.5 each interval reaches to the quartiles of its own distribution."""
    pids, quartile = np.arange(9), stats.t.ppf(0.75, 8)
    values, zeros = rng.random((1, 9)), np.zeros((1, 9))
    half = quartile * values.std(ddof=1) / 3
    found = difference(values, zeros, pids, "checkpoints", 0.5)
    assert bounds(found) == pytest.approx((values.mean() - half, values.mean() + half))
    seeds = over_seeds([values[0]], 0.5)
    assert bounds(seeds) == pytest.approx((values.mean() - half, values.mean() + half))
    half *= 3 * math.sqrt(1 / 9 + 0.25)
    assert bounds(over_splits(values[0], 0.25, 0.5)) == pytest.approx((values.mean() - half, values.mean() + half))
    one, two = (over_seeds([np.array([[figure]])], level) for figure, level in ((3.0, 0.5), (3.0, 0.95)))
    assert bounds(one) == bounds(two) == (-math.inf, math.inf)
    table = rng.normal(0, 1, (4, 9))
    whole = difference(table, np.zeros((4, 9)), pids, "methods", 0.5)
    found = difference_over_splits(table, np.zeros((4, 9)), pids, np.arange(4), 0.5)
    assert (bounds(found), found.question) == (pytest.approx(bounds(whole)), "methods")


def test_mean_at_another_level():
    """75 of 100 people, one query each: the standard error of the mean, on the log-odds."""
    values, pids = np.repeat([[1.0, 0.0]], [75, 25], axis=1), np.arange(100)
    half = stats.t.ppf(0.75, 99) * math.sqrt(0.75 * 0.25 / 99) / (0.75 * 0.25)
    found = mean(values, pids, "checkpoints", 0.5)
    assert bounds(found) == pytest.approx((expit(math.log(3) - half), expit(math.log(3) + half)))
    exact = stats.binomtest(100, 100).proportion_ci(0.5, method="exact")
    assert bounds(mean(np.ones((1, 100)), pids, "checkpoints", 0.5)) == pytest.approx((exact.low, 1))


def test_one_more_run_by_hand():
    half = 12.706205 * math.sqrt(2) * math.sqrt(3 / 2)  # t(1), s² = 2, two runs
    assert of_one_more([0.0, 2.0]) == pytest.approx(half)
    assert of_one_more([0.0, 2.0], 0.5) == pytest.approx(math.sqrt(3))  # t(1) has its quartile at 1
    assert of_one_more([1.0]) == of_one_more([]) == math.inf


def test_effect_as_large_as_the_margin_is_not_negligible():
    assert over_seeds([np.full(3, 0.5)]).p_negligible(0.5) == 1


def test_tables_that_say_nothing_are_refused():
    for values, words in (([[1.0, 0, 1]], "one identity"), ([[1.0, 0, 1], [np.nan] * 3], "no query with a match")):
        with pytest.raises(ValueError, match=words):
            mean(np.array(values), np.zeros(3, int), "checkpoints")


def test_what_people_add_is_a_component_of_variance(rng):
    """One query each: the mean square between people, less that of the rest, from sums of squares that add up."""
    values = rng.normal(0, 0.1, (3, 6)) + rng.normal(0, 1, 6)
    total, runs, people = (((each - values.mean()) ** 2).sum() for each in (values, values.mean(1), values.mean(0)))
    rest = (total - 6 * runs - 3 * people) / (2 * 5)
    of_people = difference(values, np.zeros((3, 6)), np.arange(6), "methods").errors[1]
    assert of_people == (pytest.approx(math.sqrt((3 * people / 5 - rest) / 18)), 5)

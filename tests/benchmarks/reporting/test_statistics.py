"""Intervals have the stated coverage, and agree with scipy.stats where it computes the same."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, ndtri

from benchmarks.reporting.statistics import (
    Interval,
    difference,
    difference_over_splits,
    fewest_units,
    holm,
    mean,
    of_one_more,
    over_seeds,
    over_splits,
    permutation_test,
    power_of,
    seeds_needed,
    smallest_p,
    spread,
    verdict,
)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def people(rng, identities, queries_each=None):
    """Whose each query is: so many of each, or 1 and more, 3 on average."""
    counts = 1 + rng.poisson(2, identities) if queries_each is None else queries_each
    return np.repeat(np.arange(identities), counts)


def two_methods(rng, pids, errors=(0.1, 0.08), seeds=1, seed_spread=0.0, precision=False):
    """Results of two methods, (S, Q) each, of true means 1 - errors, from people who differ and queries hard for both.

    seed_spread: of a seed's error rate, by a factor exp(N). precision: not hits but numbers between 0 and 1.
    """
    difficulty = rng.beta(errors[0] * 5, (1 - errors[0]) * 5, pids.max() + 1)[pids]
    query = rng.standard_normal(len(pids))
    for error in errors:
        seed = np.exp(seed_spread * rng.standard_normal((seeds, 1)) - seed_spread**2 / 2)
        p = np.clip(difficulty * seed * error / errors[0], 1e-9, 1 - 1e-9)
        drawn = math.sqrt(0.7) * query + math.sqrt(0.3) * rng.standard_normal((seeds, len(pids)))
        yield 1 - stats.norm.cdf(drawn) ** ((1 - p) / p) if precision else (drawn > ndtri(p)).astype(float)


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


@pytest.mark.parametrize("units", [2, 5, 6])
def test_smallest_p_agrees_with_scipy(units):
    won = (np.arange(1.0, units + 1),)
    assert stats.permutation_test(won, np.sum, permutation_type="samples").pvalue == smallest_p(units)


# By hand.


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


def test_figure_is_the_mean_over_queries():
    values, pids = np.array([[1.0, 1, 1, 0]]), np.array([7, 7, 7, 9])
    assert mean(values, pids, "checkpoints").estimate == 0.75


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


@pytest.mark.parametrize(("alpha", "units"), [(0.05, 6), (0.01, 8), (0.0625, 6)])
def test_fewest_units_is_the_first_below_alpha(alpha, units):
    assert fewest_units(alpha) == units
    assert fewest_units() == fewest_units(0.05)
    assert smallest_p(units) < alpha <= smallest_p(units - 1)


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


@pytest.mark.parametrize(("variances", "alpha"), [((1.0,), 0.05), ((0.5, 0.5), 0.01), ((4.0, 1.0), 0.01)])
def test_planned_power_is_found(rng, variances, alpha):
    effect = 1.3
    seeds = seeds_needed(effect, variances, alpha)
    assert power_of(effect, variances, seeds - 1, alpha) < 0.8
    found = share_decided(rng, effect, variances, seeds, lambda each: each.p < alpha)
    assert 0.76 <= found <= 0.84


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_power_of_two_baselines_with_few_seeds(rng, seeds):
    """Welch's test of scipy, of an effect that the normal test finds 8 or 9 times in 10."""
    runs = rng.normal(0, 1, (2, seeds, 20_000))
    effect = 5.5 / math.sqrt(seeds)
    found = np.mean(stats.ttest_ind(runs[0] + effect, runs[1], equal_var=False).pvalue < 0.05 / 7)
    assert power_of(effect, (1.0, 1.0), seeds, 0.05 / 7) == pytest.approx(found, abs=0.015)


@pytest.mark.parametrize("df", [2, 4, 27])
def test_power_by_an_estimated_variance_is_the_mean_over_what_it_may_be(df):
    """Of Student's noncentral t, over a thousand quantiles of the true variance."""
    true = df / stats.chi2.ppf((np.arange(1000) + 0.5) / 1000, df)
    expected = stats.nct.sf(stats.t.isf(0.005, 11), 11, 1.2 * np.sqrt(12 / true)).mean()
    assert power_of(1.2, (1.0,), 12, 0.01, df=df) == pytest.approx(expected, abs=0.003)


def test_spread_by_hand():
    """Variances 2 and 8 with a degree of freedom each, and over two splits 1 and 4 with two each."""
    assert spread([np.array([0.0, 2.0]), np.array([0.0, 4.0])]) == ((2, 8), pytest.approx(3 * 100 / 68 - 2))
    blocks = [np.array([[0.0, 2.0], [5.0, 5.0]]), np.array([[0.0, 4.0], [1.0, 1.0]])]
    assert spread(blocks) == ((1, 4), pytest.approx(4 * 25 / 17 - 2))
    assert spread([np.array([[0.0], [2.0]])]) == ((2,), 1)  # splits of one seed stand for seeds
    assert spread([np.ones(3)]) == ((0,), 2)


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


def test_seeds_that_no_effect_needs():
    assert seeds_needed(0.0, (1.0,), 0.05) is None
    assert seeds_needed(100.0, (1.0,), 0.05) == 3
    assert seeds_needed(1.0, (1.0,), 0.05, splits=10) < seeds_needed(1.0, (1.0,), 0.05)


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


def bounds(interval):
    return interval.low, interval.high


def error(interval):
    ((found, _),) = interval.errors
    return found


@pytest.mark.parametrize(("estimate", "expected"), [(0.02, "SUPPORTED"), (-0.02, "CONTRADICTED")])
def test_verdict_is_by_the_sign_of_small_differences(estimate, expected):
    assert verdict(estimate, 0.01, 1.0).name == expected


def test_no_unit_reaches_no_p():
    assert smallest_p(0) == smallest_p(1) == 1


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


def test_runs_count_alike_in_a_permutation(rng):
    """Of ten queries of five people the second run has three: a query of it counts more, so that both runs count alike."""
    values, pids = np.full((2, 10), np.nan), np.arange(5).repeat(2)
    values[0], values[1, [0, 3, 8]] = rng.normal(0.2, 1, 10), [-1.0, -1.0, 2.0]
    parts = np.bincount(pids, np.nan_to_num(values[0]) / 10 + np.nan_to_num(values[1]) / 3)
    theirs = stats.permutation_test((parts,), np.sum, permutation_type="samples").pvalue
    ours = permutation_test(values, np.where(np.isnan(values), np.nan, 0.0), pids, rng, flips=10_000)
    assert ours == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 10_000))


def test_effect_without_noise():
    assert over_seeds([np.full(3, 0.5)]).p_negligible(0.5) == 1
    assert [power_of(effect, (0.0,), 3, 0.05) for effect in (-0.1, 0.0, 0.1)] == [1, 0, 1]
    assert [power_of(effect, (0.0,), 3, 0.05, margin=0.2) for effect in (-0.2, -0.1, 0.1, 0.2)] == [0, 1, 1, 0]


def test_power_against_simulated_tests(rng):
    """Two baselines on four splits, at a level of 0.2: against 0, and against a margin."""
    runs = [rng.normal(effect, deviation, (2000, 4, 3)) for effect, deviation in ((0.5, 1), (0, 0.5))]
    found = [over_seeds(blocks) for blocks in zip(*runs, strict=True)]
    shown = np.mean([each.p < 0.2 for each in found])
    assert power_of(0.5, (1.0, 0.25), 3, 0.2, splits=4) == pytest.approx(shown, abs=0.04)
    small = np.mean([each.p_negligible(1.2) < 0.2 for each in found])
    assert power_of(0.5, (1.0, 0.25), 3, 0.2, margin=1.2, splits=4) == pytest.approx(small, abs=0.04)


def test_tables_that_say_nothing_are_refused():
    for values, words in (([[1.0, 0, 1]], "one identity"), ([[1.0, 0, 1], [np.nan] * 3], "no query with a match")):
        with pytest.raises(ValueError, match=words):
            mean(np.array(values), np.zeros(3, int), "checkpoints")


@pytest.mark.parametrize(
    ("effect", "margin"), [(0.5, None), (0.8, None), (1.1, None), (2.0, None), (0.1, 1.0), (0.2, 0.9)]
)
def test_no_fewer_seeds_suffice(effect, margin):
    seeds = seeds_needed(effect, (1.0,), 0.02, margin)
    assert isinstance(seeds, int)
    assert power_of(effect, (1.0,), seeds - 1, 0.02, margin) < 0.8 <= power_of(effect, (1.0,), seeds, 0.02, margin)


def test_what_people_add_is_a_component_of_variance(rng):
    """One query each: the mean square between people, less that of the rest, from sums of squares that add up."""
    values = rng.normal(0, 0.1, (3, 6)) + rng.normal(0, 1, 6)
    total, runs, people = (((each - values.mean()) ** 2).sum() for each in (values, values.mean(1), values.mean(0)))
    rest = (total - 6 * runs - 3 * people) / (2 * 5)
    of_people = difference(values, np.zeros((3, 6)), np.arange(6), "methods").errors[1]
    assert of_people == (pytest.approx(math.sqrt((3 * people / 5 - rest) / 18)), 5)

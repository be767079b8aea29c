"""Intervals, tests and verdicts for measured results, from arrays with one value for each query.

`values` is (S, Q): a row for each run (seeds, or seeds and splits), a column for each query. It holds average precision or a hit
at rank 1 as a fraction, and NaN where the query has no match (or its person is not tested in that split). `pids`, (Q,), is the
person of each query; over several splits, the columns of one person share a pid. A `figure` is the mean over the matched queries
of one run; that of a method is the mean over its runs.

Each interval answers one of three questions:

- `training`: other seeds on these test people. It decides verdicts: a paper says that a method is better on a benchmark, whose
  people, splits and protocol are given, so what chance decides is the training.
- `methods`: other seeds AND other test people. It is shown next to the verdict: 50 persons cannot decide a small effect about
  all people, however many seeds there are.
- `checkpoints`: these trained weights on other people.

`training` (`over_seeds`): runs of one baseline that share a seed share initial weights and batches. Their figures rise and fall
together, so they are paired: one weighted sum per seed and baseline. Runs of different baselines share little, and
their sums are taken as independent. The error is the root of the sum of s_b² / S, with Satterthwaite's degrees of
freedom: Student's paired t for one baseline, Welch's t for two. `python -m benchmarks.maintenance.simulate_statistics` measures
it beside the alternatives, whose coverage and power docs/statistics.md shows. Always paired loses power between baselines; never
paired is too wide within one; a variance pooled over all methods is too narrow for the methods that vary most.

`methods` and `checkpoints`: every identity is left out once, with all its queries in all runs at the same time. The jackknife's
pseudo-values turn a ratio of sums (identities have different numbers of queries) into an ordinary table of runs x identities with
one value in each cell. Its analysis of variance gives the errors. Over random splits a row of the table is a split, averaged over
its seeds; its persons who are not tested in a split do not move that split's mean. Each source has a standard error, and
Student's t with its own degrees of freedom:

- `checkpoints`: identities, G - 1.
- `methods`: seeds, S - 1 (which includes the noise of a seed on a query), and what people add to that, G - 1. `_half` combines
  them for an interval. A p comes from the root of the sum of both squares (Howe, JASA 69, 1974), which errs on the safe side
  at every level; at a p of 0.003, `_half` would be exceeded up to 2.5 times too often with 3 seeds.
- A mean is bounded, so its interval is computed on the log-odds. A difference is far from its bounds and is not transformed.

Measured coverage: how often, in percent, nominal 95% intervals contained the truth in 1,000 to 20,000 simulated data sets.

- R1 0.97, 100 persons who differ (beta) with 1 to 9 queries each: log-odds 95.1, with 2.2 misses above and 2.7 below. The
  alternatives: t on the fractions 90 (9 of 10 misses on one side), percentile bootstrap 91, BCa 94, Wilson's with the design
  effect 94, bootstrap of t 98 and more than twice as wide. With 200 and 702 such persons, R1 0.5 to 0.98: 94.0 to 95.2.
- Less exact: one query per person, R1 0.97, where a few errors are too coarse for any interval: 96.9 with 100 persons, 95.8 with
  200, 94.1 with 702. 100 persons with 2 to 30 queries each, R1 0.97: 93.6.
- `methods`, 100 persons, seeds that make the errors of a method vary by a factor of 1.05, 1.2 and 1.6: 94.7 to 95.9 with 5 and
  10 seeds, 93.4 to 95.1 with 3, 93.7 to 96.6 with 2. Calculated for two normal sources in any proportion: 94.8 to 95.3 with 5,
  94.2 to 95.7 with 3, 92.7 to 96.6 with 2, for which no verdict is given. The alternatives: Howe's, up to 98 with 3 seeds and
  99 with 2; the usual single Student's t with Satterthwaite's (Hillis's) degrees of freedom, 92 to 96 and 89 to 93.

The gallery is treated as fixed: that queries share distractors is not accounted for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

Question = Literal["training", "methods", "checkpoints"]
Errors = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval, for one of the three questions.

    Attributes:
        errors: for each source, its standard error (infinite where it is unknown) and its degrees of freedom; one for `training`.
    """

    estimate: float
    low: float
    high: float
    question: Question
    errors: Errors

    @property
    def p(self) -> float:
        """For a difference: the two-sided p of no difference, at which `_reach` ends at 0."""
        distance = abs(self.estimate)
        if distance == 0 or math.isinf(_reach(self.errors, 0.5)):
            return 1.0
        if len(self.errors) == 1 and self.errors[0][0]:
            ((error, df),) = self.errors
            return float(2 * stats.t.sf(distance / error, df))
        least = -600.0
        if _reach(self.errors, math.exp(least)) <= distance:
            return 0.0
        return math.exp(brentq(lambda log_p: _reach(self.errors, math.exp(log_p)) - distance, least, 0))

    def p_negligible(self, margin: float) -> float:
        """For a difference over seeds: the p of a true difference of at least `margin` on either side (two one-sided tests)."""
        ((error, df),) = self.errors
        room = margin - abs(self.estimate)
        if error == 0 or math.isinf(error):
            return float(room <= 0 or math.isinf(error))
        return float(stats.t.sf(room / error, df))


class Verdict(StrEnum):
    SUPPORTED = "SUPPORTED"
    CONTRADICTED = "CONTRADICTED"
    NEGLIGIBLE = "NEGLIGIBLE"
    UNDECIDED = "UNDECIDED"


def mean(values: np.ndarray, pids: np.ndarray, question: Question, level: float = 0.95) -> Interval:
    """The figure of one method, (S, Q) fractions; the interval stays within 0 and 1.

    If every query is a hit (or none is), the far end is Clopper and Pearson's, with each identity as one trial.
    """
    if np.nanmin(values) < 0 or np.nanmax(values) > 1:
        raise ValueError("a mean takes fractions from 0 to 1; use `difference` for differences")
    table = _pseudo_values(values, pids)
    errors = _errors(_mean_squares(table), table.shape, question)
    estimate, half = float(np.nanmean(values, axis=1).mean()), _half(errors, 1 - level)
    if math.isinf(half):
        low, high = 0.0, 1.0
    elif estimate in (0, 1):
        reach = 1 - ((1 - level) / 2) ** (1 / table.shape[1])
        low, high = max(estimate - reach, 0.0), min(estimate + reach, 1.0)
    else:
        low, high = map(float, expit(logit(estimate) + np.array([-half, half]) / (estimate * (1 - estimate))))
    return Interval(estimate, low, high, question, errors)


def difference(
    values: np.ndarray, others: np.ndarray, pids: np.ndarray, question: Question, level: float = 0.95
) -> Interval:
    """`values` less `others`, both (S, Q): run by run (the same seed and split) and query by query."""
    differences = _paired(values, others)
    table = _pseudo_values(differences, pids)
    errors = _errors(_mean_squares(table), table.shape, question)
    return _student(float(np.nanmean(differences, axis=1).mean()), errors, question, level)


def over_seeds(blocks: Sequence[np.ndarray], level: float = 0.95) -> Interval:
    """The sum of independent parts of a difference over other seeds on these people.

    Args:
        blocks: for each baseline of the comparison (S,) weighted sums of its arms' figures, one for each seed: or (J, S) of J
            splits, which are taken as given. With one seed for each split, the splits are taken as seeds.
    """
    estimate = float(sum(block.mean() for block in blocks))
    runs = blocks[0].size
    if runs < 2:
        return _student(estimate, ((math.inf, 1.0),), "training", level)
    variances, df = variances_over_seeds(blocks)
    error = math.sqrt(variances.sum() / runs)
    return _student(estimate, ((error, float(satterthwaite_df(variances, df))),), "training", level)


def variances_over_seeds(blocks: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """The variance over seeds of each of B blocks, (B,), as a mean over its splits, and the degrees of freedom of one block.

    Args:
        blocks: as in `over_seeds`, with two runs or more.
    """
    figures = [block if block.ndim == 2 else block[None] for block in blocks]
    figures = [block.T if block.shape[1] == 1 else block for block in figures]
    splits, seeds = figures[0].shape
    return np.array([block.var(axis=1, ddof=1).mean() for block in figures]), splits * (seeds - 1)


def satterthwaite_df(variances: np.ndarray, df: float) -> np.ndarray:
    """Satterthwaite's degrees of freedom of sums of independent variances, which lie along the first axis.

    df: the degrees of freedom with which each variance was estimated.
    """
    squares = np.square(variances).sum(axis=0)
    return df * np.maximum(variances.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1), 1)


def of_one_more(figures: Sequence[float], level: float = 0.95) -> float:
    """How far the figure of one more run may be from the mean of n runs: half of Student's prediction interval.

    t_(n-1) s sqrt(1 + 1 / n), with s the standard deviation; infinite for fewer than two runs.
    """
    if (runs := len(figures)) < 2:
        return math.inf
    return float(stats.t.ppf((1 + level) / 2, runs - 1) * np.std(figures, ddof=1) * math.sqrt(1 + 1 / runs))


def over_splits(figures: np.ndarray, test_to_train: float, level: float = 0.95) -> Interval:
    """The mean of (J,) figures, one for each random split, over other splits: for the bands of figures.

    Splits share people, so their spread understates the error: s² (1 / J + test / train) in place of s² / J (Nadeau
    and Bengio, Inference for the generalization error, Machine Learning 52, 2003). `test_to_train` is 1 for 150/150. A difference
    of methods takes `over_seeds` and `difference_over_splits` instead: for the noise of training alone this is far too wide.
    """
    error = math.inf
    if len(figures) > 1:
        error = float(np.std(figures, ddof=1) * math.sqrt(1 / len(figures) + test_to_train))
    return _student(float(np.mean(figures)), ((error, max(len(figures) - 1, 1)),), "methods", level)


def difference_over_splits(
    values: np.ndarray, others: np.ndarray, pids: np.ndarray, splits: np.ndarray, level: float = 0.95
) -> Interval:
    """As `difference` for `methods`, of splits crossed with people. Each split is averaged over its seeds.

    splits: (S,) the split of each run.
    """
    differences = _paired(values, others)
    by_split = np.stack([_mean_of_rows(differences[splits == split]) for split in np.unique(splits)])
    return difference(by_split, np.where(np.isnan(by_split), np.nan, 0.0), pids, "methods", level)


def permutation_test(
    values: np.ndarray, others: np.ndarray, pids: np.ndarray, generator: np.random.Generator, flips: int = 9999
) -> float:
    """Two-sided p of no difference between two methods' checkpoints, (S, Q) each: (b + 1) / (B + 1) over B random flips.

    A flip swaps the methods for whole identities, in all their queries and runs; b counts the flips whose mean difference is at
    least as far from 0 as the measured one. To flip seeds instead of people, pass each seed's figure as (1, S), and the seeds
    as pids.
    """
    differences = _paired(values, others)
    sums, counts = _by_identity(differences, pids)
    parts = (sums / counts.sum(1, keepdims=True)).mean(0)
    signs = generator.integers(0, 2, (flips, len(parts)), dtype=np.int8) * 2 - 1
    measured = abs(parts.sum())
    as_far = np.abs(signs @ parts) >= measured - 1e-12  # sums in another order differ in the last bits
    return (int(as_far.sum()) + 1) / (flips + 1)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p of a family of tests (Holm 1979), in the order given; a test is significant where it is below alpha."""
    given = np.asarray(p, dtype=float)
    order = np.argsort(given)
    steps = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def verdict(estimate: float, p: float, p_negligible: float, alpha: float = 0.05) -> Verdict:
    """The verdict on the claim that a difference is positive, from the two p, each after Holm's correction.

    A difference that is shown to be smaller than the margin is NEGLIGIBLE, whatever its sign. Otherwise one that is shown to be
    above 0 is SUPPORTED, one below 0 CONTRADICTED, and any other UNDECIDED.
    """
    if p_negligible < alpha:
        return Verdict.NEGLIGIBLE
    if p >= alpha:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTED if estimate > 0 else Verdict.CONTRADICTED


def fewest_units(alpha: float = 0.05) -> int:
    """How many seeds, or identities that differ, are needed for a p below `alpha`: 6 for 0.05.

    So a checkpoint must win 6 queries of 6 people and lose none: with 702 queries 0.85 points of R1, whatever the methods.
    """
    return math.floor(1 - math.log2(alpha)) + 1


# From queries to a table of runs x identities, and from that to an error.


def _paired(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    if values.shape != others.shape or (np.isnan(values) != np.isnan(others)).any():
        raise ValueError("a comparison is paired: the same runs, the same queries, and NaN for the same ones")
    return values - others


def _by_identity(values: np.ndarray, pids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, G) sums over the matched queries of each identity, and their counts; identities without any are left out."""
    if values.ndim != 2 or pids.shape != values.shape[1:]:
        raise ValueError(f"values {values.shape} and pids {pids.shape}: give (S, Q) and (Q,)")
    matched = ~np.isnan(values)
    if not matched.any(1).all():
        raise ValueError("a run has no query with a match")
    pids = np.unique(pids[matched.any(0)], return_inverse=True)[1]
    known, matched = values[:, matched.any(0)], matched[:, matched.any(0)]
    sums = np.stack([np.bincount(pids, row) for row in np.where(matched, known, 0)])
    return sums, np.stack([np.bincount(pids, row) for row in matched])


def _pseudo_values(values: np.ndarray, pids: np.ndarray) -> np.ndarray:
    """(S, G): G times a run's mean, less G - 1 times its mean without that identity (Tukey's jackknife)."""
    sums, counts = _by_identity(values, pids)
    total, queries = sums.sum(1, keepdims=True), counts.sum(1, keepdims=True)
    if (counts == queries).any():
        raise ValueError("one identity has all of a run's queries; there is nothing to compare it with")
    identities = sums.shape[1]
    return identities * total / queries - (identities - 1) * (total - sums) / (queries - counts)


MeanSquares = tuple[float, float, float]


def _mean_squares(table: np.ndarray) -> MeanSquares:
    """Between seeds, between identities, and the rest, of (S, G); with one seed the first and the last are 0."""
    seeds, identities = table.shape
    row, column = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    between_identities = seeds * float(np.var(column, ddof=1))
    if seeds == 1:
        return 0.0, between_identities, 0.0
    rest = float(np.square(table - row - column + table.mean()).sum()) / ((seeds - 1) * (identities - 1))
    return identities * float(np.var(row, ddof=1)), between_identities, rest


def _errors(squares: MeanSquares, shape: tuple[int, ...], question: Question) -> Errors:
    """The errors of the grand mean of a table of this shape (S, G)."""
    between_seeds, between_identities, rest = squares
    seeds, identities = shape
    cells = seeds * identities
    if question == "checkpoints":
        return ((math.sqrt(between_identities / cells), identities - 1),)
    of_seeds = math.sqrt(between_seeds / cells) if seeds > 1 else math.inf
    of_people = math.sqrt(max(between_identities - rest, 0) / cells)
    return ((of_seeds, max(seeds - 1, 1)), (of_people, identities - 1))


def _mean_of_rows(values: np.ndarray) -> np.ndarray:
    """The mean of each column, NaN where all are."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(0) / known.sum(0))


@lru_cache(maxsize=4096)  # a report needs a few values a hundred thousand times
def _t(p: float, df: float) -> float:
    return float(stats.t.isf(p / 2, df))


def _half(errors: Errors, p: float) -> float:
    """Half the width of the interval of level 1 - p, accurate at levels about 0.95.

    It weights the squares of Student's t: each source's own by the square of its share of the variance, and the smaller one by
    the product of two shares.
    """
    variances = [error**2 for error, _ in errors]
    total = sum(variances)
    if total == 0 or math.isinf(total):
        return total
    squares = [_t(p, df) ** 2 for _, df in errors]
    pairs = product(zip(variances, squares, strict=True), repeat=2)
    return math.sqrt(sum(one * other * min(t_one, t_other) for (one, t_one), (other, t_other) in pairs) / total)


def _reach(errors: Errors, p: float) -> float:
    """What an estimate without effect exceeds with probability p at most, at every level, even at Holm's smallest p."""
    return math.hypot(*(error * _t(p, df) for error, df in errors if error))  # t may be infinite


def _student(estimate: float, errors: Errors, question: Question, level: float) -> Interval:
    half = _half(errors, 1 - level)
    return Interval(estimate, estimate - half, estimate + half, question, errors)

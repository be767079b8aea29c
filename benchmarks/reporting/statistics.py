"""Intervals, tests and verdicts for measured figures, from arrays with the result of each query.

`values` is (S, Q): a row for each run (seeds, or seeds and splits), a column for each query. It holds average precision or a hit
at rank 1 as a fraction, and NaN where the query has no match (or its person is not tested in that split). `pids`, (Q,), is the
person of each query; over several splits, the columns of one person share a pid. A figure is the mean over a run's matched
queries, then over runs.

Each interval answers one of two questions:

- `checkpoints`: these trained weights on other people. Only identities vary, each with all its queries.
- `methods`: other people AND other seeds; seeds are crossed with identities. With one seed the interval is unbounded.

Every identity is left out once, with all its queries in all runs at the same time. The jackknife's pseudo-values turn a ratio of
sums (identities have different numbers of queries) into an ordinary table of runs x identities with one value in each cell. Its
analysis of variance gives the errors. Each source has a standard error, and Student's t with its own degrees of freedom:

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

Question = Literal["checkpoints", "methods"]
Errors = tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval, for one of the two questions.

    Attributes:
        errors: for each source, its standard error (infinite where it is unknown) and its degrees of freedom.
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
        least = -600.0
        if _reach(self.errors, math.exp(least)) <= distance:
            return 0.0
        return math.exp(brentq(lambda log_p: _reach(self.errors, math.exp(log_p)) - distance, least, 0))


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


def over_splits(differences: np.ndarray, test_to_train: float, level: float = 0.95) -> Interval:
    """The mean of (J,) differences or figures, one for each random split: for claims about methods when splits overlap.

    Splits share people, so their spread understates the error: s² (1 / J + test / train) in place of s² / J (Nadeau
    and Bengio, Inference for the generalization error, Machine Learning 52, 2003). `test_to_train` is 1 for 150/150.
    """
    errors = _errors_over_splits(differences, len(differences), test_to_train)
    return _student(float(np.mean(differences)), errors, "methods", level)


def permutation_test(
    values: np.ndarray, others: np.ndarray, pids: np.ndarray, generator: np.random.Generator, flips: int = 9999
) -> float:
    """Two-sided p of no difference between two methods' checkpoints, (S, Q) each: (b + 1) / (B + 1) over B random flips.

    A flip swaps the methods for whole identities, in all their queries and runs; b counts the flips whose mean difference is at
    least as far from 0 as the measured one. To flip seeds instead of people, pass each seed's figure as (1, S), and the seeds
    as pids; the smallest possible p is then `smallest_p(S)`.
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


def verdict(interval: Interval, margin: float) -> Verdict:
    """The verdict on the claim that a difference is positive, from its interval; differences below `margin` do not matter.

    An interval within the margin on both sides is NEGLIGIBLE, whatever its sign. Otherwise one above 0 is SUPPORTED, one below
    0 CONTRADICTED, and one that contains 0 UNDECIDED.
    """
    if -margin < interval.low and interval.high < margin:
        return Verdict.NEGLIGIBLE
    if interval.low > 0:
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if interval.high < 0 else Verdict.UNDECIDED


def smallest_p(units: int) -> float:
    """The smallest two-sided p that flipping this many units (seeds or identities) can reach: all of them on one side."""
    return min(1.0, 2.0 ** (1 - units))


def fewest_units(alpha: float = 0.05) -> int:
    """How many seeds, or identities that differ, are needed for a p below `alpha`: 6 for 0.05.

    So a checkpoint must win 6 queries of 6 people and lose none: with 702 queries 0.85 points of R1, whatever the methods.
    """
    return math.floor(1 - math.log2(alpha)) + 1


def smallest_difference(
    values: np.ndarray,
    others: np.ndarray,
    pids: np.ndarray,
    question: Question,
    seeds: int,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """The true difference whose p would be below 1 - level with probability `power`, over this many seeds on these people.

    Args:
        values, others: (S, Q) each, a pilot that shows how much results vary: two methods, or one half of a method's seeds
            against the other. With S = 1, more seeds are assumed to add nothing, and `methods` is refused.
    """
    table = _pseudo_values(_paired(values, others), pids)
    runs, identities = table.shape
    if question == "methods" and runs == 1:
        raise ValueError("a pilot of one seed does not show how much seeds vary; give two or more")
    between_seeds, between_identities, rest = _mean_squares(table)
    planned = rest + max(between_identities - rest, 0) * seeds / runs
    return _detectable(_errors((between_seeds, planned, rest), (seeds, identities), question), level, power)


def smallest_difference_over_splits(
    differences: np.ndarray, splits: int, test_to_train: float, level: float = 0.95, power: float = 0.8
) -> float:
    """As `smallest_difference`, over this many random splits, from a pilot of (J,) differences, one for each of two or more."""
    return _detectable(_errors_over_splits(differences, splits, test_to_train), level, power)


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


def _errors_over_splits(differences: np.ndarray, splits: int, test_to_train: float) -> Errors:
    """The errors of the mean over this many splits, from (J,) differences, one for each split."""
    if len(differences) < 2:
        return ((math.inf, 1),)
    return ((float(np.std(differences, ddof=1) * math.sqrt(1 / splits + test_to_train)), splits - 1),)


@lru_cache(maxsize=4096)  # a report needs a few values a hundred thousand times
def _t(p: float, df: int) -> float:
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
    return math.hypot(*(error * _t(p, df) for error, df in errors))


def _detectable(errors: Errors, level: float, power: float) -> float:
    """The true difference whose p is below 1 - level with probability `power`."""
    return _reach(errors, 1 - level) + _half(errors, 2 * (1 - power))


def _student(estimate: float, errors: Errors, question: Question, level: float) -> Interval:
    half = _half(errors, 1 - level)
    return Interval(estimate, estimate - half, estimate + half, question, errors)

"""How many seeds a claim needs: the power of a given number of seeds, and the smallest number with enough power.

The power is that of the test of `over_seeds` in statistics.py. The variance of the results over seeds is known, or `spread`
estimates it from a few finished runs. Effects, margins and variances are in one unit, such as fractions and their squares.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from scipy import special, stats

from .statistics import satterthwaite_df, variances_over_seeds

MOST_SEEDS = 1000  # no plan has more
POINTS = 1024  # over which `power_of` averages; with 32 times as many, the power differs by at most 0.002


def spread(blocks: Sequence[np.ndarray]) -> tuple[tuple[float, ...], float]:
    """The variance over seeds of each part of a difference, and the degrees of freedom of their sum.

    The degrees of freedom are Welch's, (sum s²)² / (sum s⁴ / (df + 2)) - 2 (Biometrika 34, 1947), which are right on average.
    Satterthwaite's are good for a test, but too few if there are few seeds, so that a plan would ask for too many seeds.

    Args:
        blocks: as in `over_seeds`, with two runs or more.
    """
    variances, df = variances_over_seeds(blocks)
    return tuple(variances.tolist()), float(satterthwaite_df(variances, df + 2)) - 2


def seeds_needed(
    effect: float,
    variances: Sequence[float],
    alpha: float,
    margin: float | None = None,
    power: float = 0.8,
    splits: int = 1,
    df: float = math.inf,
) -> int | None:
    """The smallest number of seeds that shows with this power that an effect is not 0.

    Args:
        effect: the true effect.
        variances: over seeds, of each baseline's weighted sum of arms, as in `over_seeds`.
        alpha: the level of the test after Holm's correction.
        margin: None; or the seeds must show instead that the effect is nearer to 0 than this.
        splits: on how many splits each seed runs.
        df: the degrees of freedom with which the sum of the variances was estimated; infinite if it is known.

    Returns:
        At least 3; None if MOST_SEEDS do not suffice.
    """
    low, high = 2, 3
    while not power_of(effect, variances, high, alpha, margin, splits, df) >= power:  # also where it is NaN
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_of(effect, variances, middle, alpha, margin, splits, df) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high if high <= MOST_SEEDS else None


def power_of(
    effect: float,
    variances: Sequence[float],
    seeds: int,
    alpha: float,
    margin: float | None = None,
    splits: int = 1,
    df: float = math.inf,
) -> float:
    """The probability that this many seeds show a true effect; the other arguments are those of `seeds_needed`.

    Two kinds of variances are unknown before the runs, and the result is the mean over both. The true variances are distributed
    as the estimated ones times df / chi²(df): this is the predictive power of Spiegelhalter, Abrams and Myles (Bayesian
    Approaches to Clinical Trials, 2004, section 6.5). The variances that the runs will show differ from the true ones by chance.
    Given both, the measured difference is normal. So Welch's test needs no approximation, however few the seeds.
    """
    if not any(variances):
        return float(abs(effect) > 0 if margin is None else abs(effect) < margin)
    runs, rest = splits * seeds, splits * (seeds - 1)
    dimensions = 1 + len(variances)
    true = np.outer(variances, 1 / _chi_squares(df, 0, dimensions))
    shown = true * [_chi_squares(rest, number, dimensions) for number in range(1, dimensions)]
    deviation, error = (np.sqrt(each.sum(axis=0) / runs) for each in (true, shown))
    limit = special.stdtrit(satterthwaite_df(shown, rest), 1 - (alpha / 2 if margin is None else alpha)) * error
    if margin is None:
        return float(special.ndtr((abs(effect) - limit) / deviation).mean())
    low, high = (special.ndtr((side * (margin - limit) - effect) / deviation) for side in (-1, 1))
    return float(np.maximum(high - low, 0).mean())


@cache
def _points(dimensions: int) -> np.ndarray:
    """(dimensions, POINTS) points that fill the unit cube evenly (Sobol's, scrambled), the same in each call."""
    return np.asarray(stats.qmc.Sobol(dimensions, seed=0).random(POINTS).T)


@lru_cache(maxsize=1024)
def _chi_squares(df: float, dimension: int, dimensions: int) -> np.ndarray:
    """(POINTS,) values of chi²(df) / df along one of the dimensions of `_points`; 1 if df is infinite."""
    uniform = _points(dimensions)[dimension]
    return np.ones(POINTS) if math.isinf(df) else special.chdtri(df, uniform) / df

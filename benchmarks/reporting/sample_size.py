"""How many seeds a claim takes: how likely it is that so many show a true effect, and the fewest that are likely enough.

The runs to come are judged as `over_seeds` in statistics.py does. How much their results vary over seeds is known or estimated
from a few finished runs, by `spread`.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from scipy import special, stats

from .statistics import satterthwaite_df, variances_over_seeds

MOST_SEEDS = 1000
POINTS = 1024  # at which `power_of` averages: within 0.002 of what 32 times as many give


def spread(blocks: Sequence[np.ndarray]) -> tuple[tuple[float, ...], float]:
    """The variance over seeds of each part of a difference, and the degrees of freedom of their sum.

    The degrees of freedom are Welch's, (sum s²)² / (sum s⁴ / (df + 2)) - 2 (Biometrika 34, 1947), which are right on average:
    Satterthwaite's, as good as they are for a test, are too few where there are few seeds, so that a plan would ask for too many.

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
    """How many seeds show a true effect with this power: that it is not 0, or with `margin` that it is smaller than that.

    Args:
        variances: of the weighted sum of each baseline's arms over seeds, as in `over_seeds`.
        alpha: the level after Holm's correction.
        df: degrees of freedom with which their sum was estimated; infinite if they are known.

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
    """The probability that this many seeds show a true effect; the arguments are those of `seeds_needed`.

    It is a mean over what is unknown before the runs: the true variances, which are the estimated ones times df / chi²(df) (the
    predictive power of Spiegelhalter, Abrams and Myles, Bayesian Approaches to Clinical Trials, 2004, section 6.5), and those
    that the runs will show. Given both, the figure is normal. So Welch's test needs no approximation, however few the seeds.
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
    """(dimensions, POINTS) numbers that fill the unit cube evenly (Sobol's, scrambled), the same in each call."""
    return np.asarray(stats.qmc.Sobol(dimensions, seed=0).random(POINTS).T)


@lru_cache(maxsize=1024)
def _chi_squares(df: float, dimension: int, dimensions: int) -> np.ndarray:
    """(POINTS,) values of chi²(df) / df along one of the dimensions of `_points`; 1 if df is infinite."""
    uniform = _points(dimensions)[dimension]
    return np.ones(POINTS) if math.isinf(df) else special.chdtri(df, uniform) / df

"""The metrics that turn two feature vectors into a distance: two fixed ones, and those fitted on training tracklets.

Every metric is computed from inner products, so that the distances of many pairs cost one matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from baselines.interface.errors import UserError

from .protocols import check_choice
from .xqda import fit_xqda

# A distance has two steps. The first makes a key of an inner product and of what the metric makes of the gallery row's square
# (its inner product with itself). The second makes a distance of the key and of the query's square, and never falls as a key
# grows. So the keys of one query have the order of its distances, but different keys may have the same distance.
# Both steps take (values, what concerns one side, out). Shapes are broadcast, and `out` may be the first.
Step: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def halve(squares: np.ndarray) -> np.ndarray:
    """|b|^2 / 2."""
    return squares / np.float32(2)


def subtract(products: np.ndarray, halves: np.ndarray, out: np.ndarray) -> None:
    """|b|^2 / 2 - a.b, from |b|^2 / 2."""
    np.subtract(halves, products, out=out)


def quadratic(keys: np.ndarray, query_squares: np.ndarray, out: np.ndarray) -> None:
    """|a|^2 + |b|^2 - 2 a.b, the squared Euclidean distance."""
    np.multiply(keys, 2, out=out)
    out += query_squares


def euclidean(keys: np.ndarray, query_squares: np.ndarray, out: np.ndarray) -> None:
    """The Euclidean distance; 0 where rounding made its square negative."""
    quadratic(keys, query_squares, out)
    np.maximum(out, 0, out=out)
    np.sqrt(out, out=out)


def negate_norms(squares: np.ndarray) -> np.ndarray:
    """-|b|; 0 counts as the smallest number."""
    return -_norms(squares)


def divide(products: np.ndarray, opposite_norms: np.ndarray, out: np.ndarray) -> None:
    """-a.b / |b|, from -|b|."""
    np.divide(products, opposite_norms, out=out)


def cosine(keys: np.ndarray, query_squares: np.ndarray, out: np.ndarray) -> None:
    """1 - cos; 1 where a feature is 0."""
    np.divide(keys, _norms(query_squares), out=out)
    np.add(1, out, out=out)


def _norms(squares: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))


@dataclass(frozen=True, eq=False)
class Metric:
    """A distance between two feature vectors.

    Attributes:
        to_distances: the second step, from keys and the squares of the queries.
        of_squares: makes what the first step needs of the squares of gallery rows.
        to_keys: the first step, from inner products and the result of `of_squares`.
        projection: (D, R) float32, applied to the features at unit length; None: features are used as they are.
        signs: (R,) float32, the sign with which each projected dimension enters the inner product; None: all positive.
    """

    to_distances: Step
    of_squares: Callable[[np.ndarray], np.ndarray] = halve
    to_keys: Step = subtract
    projection: np.ndarray | None = None
    signs: np.ndarray | None = None

    def project(self, features: np.ndarray) -> np.ndarray:
        """Features (N, D) in the space of the inner product, (N, R); NaN where a norm is too large for float32."""
        if self.projection is None:
            return features
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        norms = np.where(np.isfinite(norms), np.maximum(norms, np.finfo(np.float32).tiny), np.nan)
        return np.asarray((features / norms) @ self.projection)

    def signed(self, projected: np.ndarray) -> np.ndarray:
        """The left factor of the inner product, from projected features (N, R)."""
        return projected if self.signs is None else projected * self.signs


METRICS = {"euclidean": Metric(euclidean), "cosine": Metric(cosine, negate_norms, divide)}

# Each fits a metric on features (N, D) with pids (N,) and camids (N,) and the run's seed, and returns `projection` and `signs`.
Fit: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
FITTED_METRICS: dict[str, Fit] = {"xqda": fit_xqda}


def fixed_metric(name: str) -> Metric:
    """The metric of that name, which needs no training tracklets.

    Raises:
        UserError: no such metric, or one that must be fitted.
    """
    if name in FITTED_METRICS:
        raise UserError(
            f"metric {name!r} is fitted on training tracklets, and there are none; use {' or '.join(METRICS)}"
        )
    return METRICS[check_choice("metric", name, METRICS)]


def fit_metric(name: str, features: np.ndarray, pids: np.ndarray, camids: np.ndarray, seed: int) -> Metric:
    """The metric of that name, fitted on training tracklets.

    Args:
        name: a key of `FITTED_METRICS`.
        features: (N, D) of the training tracklets.
        pids, camids: (N,) whole numbers.
        seed: of the run.

    Raises:
        UserError: the training tracklets do not suffice.
    """
    return fitted_metric(*FITTED_METRICS[name](features, pids, camids, seed))


def fitted_metric(projection: np.ndarray, signs: np.ndarray) -> Metric:
    """sum_r signs_r (projection_r . (a / |a| - b / |b|))^2, from (D, R) and (R,). Distances may be negative."""
    return Metric(quadratic, projection=projection, signs=signs)

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

# Turns the inner products of queries with gallery rows into distances, in the last argument, which may be the first. The
# two in between are the inner products of the queries and of the gallery rows with themselves. All shapes are broadcast.
ToDistances: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]


def quadratic(products: np.ndarray, query_squares: np.ndarray, squares: np.ndarray, out: np.ndarray) -> None:
    """|a|^2 + |b|^2 - 2 a.b, the squared Euclidean distance."""
    np.multiply(products, -2, out=out)
    out += squares
    out += query_squares


def euclidean(products: np.ndarray, query_squares: np.ndarray, squares: np.ndarray, out: np.ndarray) -> None:
    """The Euclidean distance; 0 where rounding made its square negative."""
    quadratic(products, query_squares, squares, out)
    np.maximum(out, 0, out=out)
    np.sqrt(out, out=out)


def cosine(products: np.ndarray, query_squares: np.ndarray, squares: np.ndarray, out: np.ndarray) -> None:
    """1 - cos; 1 where a feature is 0."""
    smallest = np.finfo(np.float32).tiny
    np.divide(products, np.sqrt(np.maximum(squares, smallest)), out=out)
    out /= np.sqrt(np.maximum(query_squares, smallest))
    np.subtract(1, out, out=out)


@dataclass(frozen=True, eq=False)
class Metric:
    """A distance between two feature vectors.

    Attributes:
        to_distances: makes distances of inner products.
        projection: (D, R) float32, applied to the features at unit length; None: features are used as they are.
        signs: (R,) float32, the sign with which each projected dimension enters the inner product; None: all positive.
    """

    to_distances: ToDistances
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


METRICS = {"euclidean": Metric(euclidean), "cosine": Metric(cosine)}

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
    return Metric(quadratic, projection, signs)

"""The ranks of hits when a GPU holds the features: each hit is compared with all distances of its query.

A CPU is faster with `ranking`, which sorts only what is as near as the farthest hit; a GPU counts faster than it sorts. Distances
are IEEE float32, whatever precision the process allows elsewhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from baselines.interface.errors import UserError

from .distances import FeatureDistances, unusable
from .metrics import Metric, cosine, euclidean, quadratic
from .ranking import Pairs

DISTANCES = 1 << 28  # held at a time: 1 GiB
COMPARISONS = 1 << 27  # of hits with columns at a time


@torch.inference_mode()
def hit_ranks(
    distances: FeatureDistances, columns: np.ndarray, hits: Pairs, excluded: Pairs, extents: list[int]
) -> np.ndarray:
    """The ranks (E, N) of hits, from 1, in the gallery of each extent. Ties go to the lower column.

    Args:
        distances: of features that are tensors on one device.
        columns: (C,) of `distances`, ascending.
        hits, excluded: pairs of a query and the position of a column among `columns`.
        extents: galleries, each of the first `extent` columns, ascending.

    Raises:
        UserError: NaN or infinite features.
    """
    query, gallery = distances.query, distances.gallery
    assert isinstance(query, Tensor)
    assert isinstance(gallery, Tensor)
    device, gallery_size = query.device, len(gallery)
    rows = torch.from_numpy(columns).to(device)
    ranks = torch.empty(len(extents), len(hits[0]), dtype=torch.int64, device=device)
    with _ieee_float32(device):
        metric = _Projection(distances.metric, device)
        parts = gallery[rows[rows < gallery_size]], query[rows[rows >= gallery_size] - gallery_size]
        others = torch.cat([metric.project(part) for part in parts])
        squares = _squares(others, metric, columns, gallery_size)
        together = max(1, DISTANCES // max(1, len(others)))
        for first in range(0, len(query), together):
            queries = metric.project(query[first : first + together])
            query_squares = _squares(
                queries, metric, np.arange(first, first + len(queries)) + gallery_size, gallery_size
            )
            values = metric.signed(queries) @ others.T
            _DISTANCES[distances.metric.to_distances](values, query_squares[:, None], squares)
            if values.isnan().any():
                row = first + int(values.isnan().any(dim=1).int().argmax())
                raise UserError(f"query row {row}: a distance is NaN; correct or remove its source")
            own, of_hits = _of_queries(hits, first, len(queries), device)
            values[_of_queries(excluded, first, len(queries), device)[1]] = torch.nan  # never nearer than a hit
            ranks[:, own] = _counts(values, of_hits, extents) + 1
    return ranks.cpu().numpy()


def _counts(values: Tensor, hits: tuple[Tensor, Tensor], extents: list[int]) -> Tensor:
    """(E, N): how many of the first columns of each extent come before each hit. `hits` are (N,) rows and columns of `values`."""
    counts = torch.empty(len(extents), len(hits[0]), dtype=torch.int64, device=values.device)
    numbers = torch.arange(values.shape[1], device=values.device)
    together = max(1, COMPARISONS // max(1, values.shape[1]))
    for first in range(0, len(hits[0]), together):
        some = slice(first, first + together)
        row, column = hits[0][some], hits[1][some, None]
        distances, own = values[row], values[row, column[:, 0]][:, None]
        before = (distances < own) | ((distances == own) & (numbers < column))
        parts = [before[:, start:stop].sum(dim=1) for start, stop in pairwise([0, *extents])]
        counts[:, some] = torch.stack(parts).cumsum(dim=0)
    return counts


def _of_queries(pairs: Pairs, first: int, count: int, device: torch.device) -> tuple[slice, tuple[Tensor, Tensor]]:
    """The positions of the pairs of `count` queries, and these pairs, with queries counted from `first`."""
    start, stop = np.searchsorted(pairs[0], (first, first + count))
    query, column = (torch.from_numpy(part[start:stop]).to(device) for part in pairs)
    return slice(int(start), int(stop)), (query - first, column)


class _Projection:
    """The space of a metric's inner product, as in `Metric.project` and `Metric.signed`, on the device."""

    def __init__(self, metric: Metric, device: torch.device) -> None:
        parts = (metric.projection, metric.signs)
        self.projection, self.signs = (None if part is None else torch.from_numpy(part).to(device) for part in parts)

    def project(self, features: Tensor) -> Tensor:
        features = features.float()
        if self.projection is None:
            return features
        norms = features.norm(dim=1, keepdim=True)
        norms = torch.where(norms.isfinite(), norms.clamp(min=torch.finfo(torch.float32).tiny), torch.nan)
        return (features / norms) @ self.projection

    def signed(self, projected: Tensor) -> Tensor:
        return projected if self.signs is None else projected * self.signs


def _squares(features: Tensor, metric: _Projection, columns: np.ndarray, gallery_size: int) -> Tensor:
    """The inner product of each feature with itself; `columns` are their numbers, for the error message."""
    squares = (metric.signed(features) * features).sum(dim=1)
    if not squares.isfinite().all():
        column = int(columns[int(squares.isfinite().int().argmin())])
        side, row = ("gallery", column) if column < gallery_size else ("query", column - gallery_size)
        raise unusable(side, row)
    return squares


def _quadratic(values: Tensor, query_squares: Tensor, squares: Tensor) -> None:
    values.mul_(-2).add_(squares).add_(query_squares)


def _euclidean(values: Tensor, query_squares: Tensor, squares: Tensor) -> None:
    _quadratic(values, query_squares, squares)
    values.clamp_(min=0).sqrt_()


def _cosine(values: Tensor, query_squares: Tensor, squares: Tensor) -> None:
    smallest = torch.finfo(torch.float32).tiny
    values.div_(squares.clamp(min=smallest).sqrt()).div_(query_squares.clamp(min=smallest).sqrt()).neg_().add_(1)


# Turn inner products into distances, in place, by a metric's second step; they do both steps.
_DISTANCES: dict[Callable[..., None], Callable[[Tensor, Tensor, Tensor], None]] = {
    quadratic: _quadratic,
    euclidean: _euclidean,
    cosine: _cosine,
}


@contextmanager
def _ieee_float32(device: torch.device) -> Iterator[None]:
    """Products in IEEE float32 in this block, whatever the training allows (TF32, bfloat16, autocast)."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(allowed)

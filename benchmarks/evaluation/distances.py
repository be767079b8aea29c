"""Blocks of distances, which are all that evaluation needs: from a matrix, from one feature per tracklet, or from a matcher."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from baselines.interface.errors import UserError

from .metrics import METRICS, Metric

if TYPE_CHECKING:
    import torch

    from baselines.interface.matcher import Matcher

Array: TypeAlias = "np.ndarray | torch.Tensor"

# Gallery rows converted to float32 at a time, and the largest gallery that is kept so from one block of queries to the
# next (MARS's is; the conversion of half-precision features would otherwise cost a fifth of the product).
CHUNK, KEPT = 16_384, 50_000
# Distances that stay in a core's cache while they are computed and ranked.
PIECE = 98_304
# Queries that a matcher compares with one stack of gallery tracklets, and tracklets in a stack.
MATCHED_QUERIES, STACKED = 128, 2048


@dataclass(frozen=True, eq=False)
class Block:
    """The distances of some consecutive queries to C tracklets.

    The keys of the tracklets sort them in the order of their distances to one query, and can be cheaper to compute. Different
    keys may have the same distance. Here the keys are the distances.

    Attributes:
        first: the number of the first query.
        values: (n, C) distances.
    """

    first: int
    values: np.ndarray

    def keys_at(self, queries: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(N,) keys of the pairs of these queries and columns, both (N,)."""
        return np.asarray(self.values[queries, columns])

    def keys(self, queries: slice, columns: slice) -> np.ndarray:
        """(r, c) keys that the caller may overwrite, and that are valid until the next ones are requested."""
        return self.values[queries, columns].copy()

    def to_distances(self, queries: np.ndarray | slice, keys: np.ndarray) -> np.ndarray:  # noqa: ARG002 - for products
        """The distances of keys, (N,) or (N, c), of N queries; they may take the memory of the keys."""
        return keys

    def piece(self, queries: slice, columns: slice) -> np.ndarray:
        """(r, c) distances that the caller may overwrite, and that are valid until the next piece or keys are requested."""
        return self.to_distances(queries, self.keys(queries, columns))


@dataclass(frozen=True, eq=False)
class ProductBlock(Block):
    """A block whose distances are computed from inner products as they are needed.

    Attributes:
        first: the number of the first query.
        values: (n, C) inner products.
        metric: makes keys and distances of them.
        query_squares: (n,) inner products of the queries with themselves.
        of_squares: (C,) what the metric makes of the inner products of the tracklets with themselves.
        buffer: memory for a piece.
    """

    metric: Metric
    query_squares: np.ndarray
    of_squares: np.ndarray
    buffer: np.ndarray

    def keys_at(self, queries: np.ndarray, columns: np.ndarray) -> np.ndarray:
        picked = np.asarray(self.values[queries, columns])
        self.metric.to_keys(picked, self.of_squares[columns], picked)
        return picked

    def keys(self, queries: slice, columns: slice) -> np.ndarray:
        products = self.values[queries, columns]
        fits = products.size <= self.buffer.size
        out = self.buffer[: products.size].reshape(products.shape) if fits else np.empty_like(products)
        self.metric.to_keys(products, self.of_squares[columns], out)
        return out

    def to_distances(self, queries: np.ndarray | slice, keys: np.ndarray) -> np.ndarray:
        squares = self.query_squares[queries]
        self.metric.to_distances(keys, squares if keys.ndim == 1 else squares[:, None], keys)
        return keys


class Distances(Protocol):
    """Distances of Q queries to G gallery tracklets, and to each other."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""

    def blocks(self, columns: np.ndarray) -> Iterator[Block]:
        """The distances of all queries, in order, to the tracklets in `columns`.

        A block is valid until the next one is requested.

        Args:
            columns: (C,) ascending; g < G is a gallery row, G + q is a query row.
        """


def rows_of(distances: Distances, columns: np.ndarray) -> Iterator[np.ndarray]:
    """For each query its distances (C,) to the tracklets in `columns`; each is valid until the next one is requested."""
    for block in distances.blocks(columns):
        for query in range(len(block.values)):
            yield block.piece(slice(query, query + 1), slice(None))[0]


class MatrixDistances:
    """Distances that are given as a matrix (Q, G), which is left unchanged. There are no distances between queries."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = as_array(matrix)
        if self.matrix.ndim != 2 or self.matrix.dtype.kind not in "fiu":
            raise UserError(
                f"distances: {self.matrix.dtype} of shape {self.matrix.shape}; give a matrix of real numbers, (Q, G)"
            )
        if self.matrix.dtype not in (np.float32, np.float64):
            self.matrix = self.matrix.astype(np.float64)
        self.shape: tuple[int, int] = self.matrix.shape

    def blocks(self, columns: np.ndarray) -> Iterator[Block]:
        count = max(1, PIECE // max(1, len(columns)))
        return (
            Block(start, self.matrix[start : start + count, columns]) for start in range(0, len(self.matrix), count)
        )


class FeatureDistances:
    """Distances of feature vectors, computed for blocks of queries.

    Beside the features it holds `block` rows of distances and some gallery rows in float32. Distances are IEEE float32
    whatever the features' type. numpy multiplies: torch's product depends on process-wide settings (TF32, bfloat16
    "medium" precision, autocast) that a training run may have changed.

    Args:
        query, gallery: (Q, D) and (G, D); memory maps are read in parts.
        metric: fixed or fitted.
        block: query rows at a time; below 512 the product is slower.

    Raises:
        UserError: shapes that do not fit, a block below 1, and while blocks are computed: NaN or infinite features.
    """

    def __init__(self, query: Array, gallery: Array, metric: Metric = METRICS["euclidean"], block: int = 512) -> None:
        if block < 1:
            raise UserError(f"block={block}: give at least one query row at a time")
        if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
            raise UserError(
                f"features: query {tuple(query.shape)}, gallery {tuple(gallery.shape)}; give (Q, D) and (G, D)"
            )
        self.query, self.gallery, self.metric, self.block = query, gallery, metric, block
        self.shape = len(query), len(gallery)

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU holds all features."""
        return all(getattr(part, "is_cuda", False) for part in (self.query, self.gallery))

    def blocks(self, columns: np.ndarray) -> Iterator[Block]:
        metric, gallery_size = self.metric, self.shape[1]
        parts = (
            ("gallery", self.gallery, columns[columns < gallery_size]),
            ("query", self.query, columns[columns >= gallery_size] - gallery_size),
        )
        chunks = [(side, part, rows[i : i + CHUNK]) for side, part, rows in parts for i in range(0, len(rows), CHUNK)]
        stops = np.cumsum([len(rows) for *_, rows in chunks], dtype=np.int64)

        def read(number: int) -> np.ndarray:
            return metric.project(_read(*chunks[number][1:]))

        load = cache(read) if len(columns) <= KEPT else read
        buffer = np.empty((min(self.block, len(self.query)), len(columns)), np.float32)
        of_squares = np.empty(len(columns), np.float32)
        piece = np.empty(PIECE, np.float32)
        for start in range(0, len(self.query), self.block):
            query_rows = np.arange(start, min(start + self.block, len(self.query)))
            queries = metric.project(_read(self.query, query_rows))
            left = metric.signed(queries)
            query_squares = _squares("query", query_rows, left, queries)
            products = buffer[: len(queries)]
            for number, stop in enumerate(stops):
                others = load(number)
                inside = slice(stop - len(others), stop)
                if start == 0:
                    side, _, rows = chunks[number]
                    of_squares[inside] = metric.of_squares(_squares(side, rows, metric.signed(others), others))
                np.matmul(left, others.T, out=products[:, inside])
            yield ProductBlock(start, products, metric, query_squares, of_squares, piece)


class PairwiseDistances:
    """Distances that a matcher gives from descriptions of tracklets.

    Args:
        matcher: compares one query with a stack of gallery tracklets.
        query, gallery: Q and G descriptions, as `matcher.describe` returned them.

    Raises:
        UserError: while blocks are computed: the matcher does not return one distance per gallery tracklet.
    """

    def __init__(self, matcher: "Matcher", query: Sequence[Any], gallery: Sequence[Any]) -> None:
        self.matcher, self.query, self.gallery = matcher, query, gallery
        self.shape = len(query), len(gallery)

    def blocks(self, columns: np.ndarray) -> Iterator[Block]:
        gallery_size = self.shape[1]
        others = [self.gallery[c] if c < gallery_size else self.query[c - gallery_size] for c in columns]
        for start in range(0, len(self.query), MATCHED_QUERIES):
            queries = self.query[start : start + MATCHED_QUERIES]
            distances = np.empty((len(queries), len(others)))
            for first in range(0, len(others), STACKED):
                chunk = others[first : first + STACKED]
                stack = self.matcher.stack(chunk)
                distances[:, first : first + STACKED] = self._compare(queries, stack, len(chunk))
            yield Block(start, distances)

    def _compare(self, queries: Sequence[Any], stack: Any, count: int) -> np.ndarray:
        distances = as_array(self.matcher.compare_each(queries, stack))
        if distances.shape != (len(queries), count):
            raise UserError(
                f"matcher {type(self.matcher).__name__}: returned distances of shape {distances.shape} for {len(queries)} "
                f"queries and {count} gallery tracklets; `compare` must return ({count},)"
            )
        return distances


def as_array(values: Array) -> np.ndarray:
    """As numpy. Tensors may be on any device, need gradients, or be bfloat16, which numpy does not have."""
    if isinstance(values, np.ndarray) or not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()


def _read(features: Array, rows: np.ndarray) -> np.ndarray:
    """The given rows (n, D) in float32, not copied where that is possible."""
    contiguous = rows[-1] - rows[0] + 1 == len(rows)
    return as_array(features[rows[0] : rows[-1] + 1] if contiguous else features[rows]).astype(np.float32, copy=False)


def _squares(side: str, rows: np.ndarray, left: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The inner product of each feature with itself; `rows` are their numbers, for the error message."""
    squares: np.ndarray = np.einsum("nd,nd->n", left, features)
    if not np.isfinite(squares).all():
        row = rows[np.argmin(np.isfinite(squares))]
        raise unusable(side, row)
    return squares


def unusable(side: str, row: int) -> UserError:
    """The error about the feature of a side, "query" or "gallery", that has no finite square."""
    return UserError(f"{side} features, row {row}: NaN, infinite, or too large to be squared in float32")

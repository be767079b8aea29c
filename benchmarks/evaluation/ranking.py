"""From distances, or from features, to CMC and mAP: one core for every protocol.

A query's gallery leaves out junk (pid -1) and what shows the query's person in the query's camera. A hit is a gallery
row of the query's person in another camera. Everything follows from the ranks of the hits, and the rank of a hit is a
count: one, plus the rows that are nearer, plus the rows before it that are equally near. Nothing is sorted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.data import JUNK

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "np.ndarray | torch.Tensor"

# Gallery rows converted to float32 at a time, and the largest gallery that is kept so from one block of queries to the
# next (MARS's is; the conversion of half-precision features would otherwise cost a fifth of the product).
CHUNK, KEPT = 16_384, 50_000


@dataclass(frozen=True)
class Protocol:
    """A way to score a data set that has queries, a gallery and cameras.

    Attributes:
        queries_in_gallery: the query rows are appended to the gallery rows.
        average_precision, unmatched: see `evaluate`.
        note: who uses it, one line.
    """

    name: str
    queries_in_gallery: bool
    average_precision: str
    unmatched: str
    note: str


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("official", True, "trapezoid", "skip", "MARS's own MATLAB code; GLTR"),
        Protocol("standard", False, "rectangle", "skip", "the Torchreid line of code; COSAM"),
        Protocol("full", True, "rectangle", "skip", "AP3D; probably VRSTC"),
    )
}


@dataclass(frozen=True, eq=False)
class Ranking:
    """What one protocol makes of one ranking. Fractions, not percent.

    Attributes:
        map: mean of the average precisions; NaN where no query counts.
        cmc: (G,) share of the queries with a hit at rank 1, 2, ... G; `cmc[0]` is rank-1; NaN where no query counts.
        average_precision: (Q,) NaN for a query without a match (0 with unmatched="zero").
        first_hit_rank: (Q,) from 1; NaN for a query without a match.
    """

    map: float
    cmc: np.ndarray
    average_precision: np.ndarray
    first_hit_rank: np.ndarray


def rank(cmc: Sequence[float] | np.ndarray, k: int) -> float:
    """The CMC at rank `k`, from 1; a gallery with fewer rows has it at its last row."""
    return float(cmc[min(k, len(cmc)) - 1]) if len(cmc) else float("nan")


def evaluate(
    distances: Array,
    query_pids: Array,
    query_camids: Array,
    gallery_pids: Array,
    gallery_camids: Array,
    *,
    average_precision: str = "rectangle",
    unmatched: str = "skip",
) -> Ranking:
    """Score a matrix of distances. Ties go to the lower gallery index.

    Args:
        distances: (Q, G), smaller is nearer; any real type; infinity is allowed.
        query_pids, query_camids: (Q,) whole numbers.
        gallery_pids, gallery_camids: (G,) whole numbers; pid -1 is junk.
        average_precision: "rectangle", the mean over the hits of the precision at the hit's rank, or "trapezoid", as
            MARS's MATLAB code has it: the mean of (p_before + p_at) / 2, p_at the precision at the hit's rank, p_before
            that one rank earlier (1 for a hit at rank 1).
        unmatched: "skip" leaves queries without a match out of both means; "zero" counts them as 0.

    Raises:
        UserError: NaN among the distances, shapes that do not fit, or an unknown option.
    """
    _choose("average_precision", average_precision, AVERAGE_PRECISION)
    _choose("unmatched", unmatched, UNMATCHED)
    matrix = _array(distances)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise UserError(f"distances: {matrix.dtype} of shape {matrix.shape}; give a matrix of real numbers, (Q, G)")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float64)
    queries = _labels("query", query_pids, query_camids, len(matrix))
    gallery = _labels("gallery", gallery_pids, gallery_camids, matrix.shape[1])
    kept = np.flatnonzero(gallery[0] != JUNK)
    rows = (row[kept] for row in matrix)
    (ranks,) = _hit_ranks(rows, _matches(queries, gallery[:, kept]), [len(kept)])
    return _score(ranks, matrix.shape[1], average_precision, unmatched)


def evaluate_features(
    query: Array,
    gallery: Array,
    query_pids: Array,
    query_camids: Array,
    gallery_pids: Array,
    gallery_camids: Array,
    protocols: Iterable[str],
    *,
    metric: str = "euclidean",
    block: int = 512,
) -> dict[str, Ranking]:
    """Score features under several protocols in one pass over blocks of query rows.

    Beside the features it holds `block` rows of distances and some gallery rows in float32. Distances are IEEE float32
    whatever the features' type. numpy multiplies: torch's product depends on process-wide settings (TF32, bfloat16
    "medium" precision, autocast) that a training run may have changed.

    Args:
        query, gallery: (Q, D) and (G, D); memory maps are read in parts.
        query_pids, query_camids, gallery_pids, gallery_camids: as for `evaluate`.
        protocols: names of `PROTOCOLS`. Where one has the queries in the gallery, they follow the gallery rows.
        metric: "euclidean" or "cosine" (1 - cos; a feature of zeros is at distance 1 from all).
        block: query rows at a time; below 512 the product is slower.

    Returns:
        The ranking of each protocol, by name.

    Raises:
        UserError: as `evaluate`; and for NaN or infinite features, an unknown protocol or metric, or a block below 1.
    """
    asked = [PROTOCOLS[_choose("protocol", name, PROTOCOLS)] for name in protocols]
    measure = METRICS[_choose("metric", metric, METRICS)]
    if block < 1:
        raise UserError(f"block={block}: give at least one query row at a time")
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise UserError(f"features: query {tuple(query.shape)}, gallery {tuple(gallery.shape)}; give (Q, D) and (G, D)")
    queries = _labels("query", query_pids, query_camids, len(query))
    others = _labels("gallery", gallery_pids, gallery_camids, len(gallery))

    sources: list[Source] = [("gallery", gallery, np.flatnonzero(others[0] != JUNK))]
    labels = others[:, sources[0][-1]]
    extents = {False: labels.shape[1]}  # columns of the gallery, by whether the queries are in it
    if any(protocol.queries_in_gallery for protocol in asked):
        sources.append(("query", query, np.flatnonzero(queries[0] != JUNK)))
        labels = np.concatenate([labels, queries[:, sources[1][-1]]], axis=1)
        extents[True] = labels.shape[1]

    rows = _distance_rows(query, sources, measure, block)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
        found = _hit_ranks(rows, _matches(queries, labels), list(extents.values()))
    ranks = dict(zip(extents, found, strict=True))
    return {
        protocol.name: _score(
            ranks[protocol.queries_in_gallery],
            len(gallery) + len(query) * protocol.queries_in_gallery,
            protocol.average_precision,
            protocol.unmatched,
        )
        for protocol in asked
    }


# The core: ranks of hits, and metrics from ranks.


def _matches(queries: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query the columns of its hits and those of its own person and camera, from (pid, camid) x rows."""
    order = np.argsort(gallery[0])
    cameras = gallery[1, order]
    first, last = (np.searchsorted(gallery[0], queries[0], side, order).tolist() for side in ("left", "right"))
    for start, stop, camid in zip(first, last, queries[1].tolist(), strict=True):
        person, same_camera = order[start:stop], cameras[start:stop] == camid
        yield person[~same_camera], person[same_camera]


def _hit_ranks(
    rows: Iterable[np.ndarray], matches: Iterable[tuple[np.ndarray, np.ndarray]], extents: list[int]
) -> list[list[np.ndarray]]:
    """For each extent, the gallery being its first so many columns, each query's ranks of its hits, ascending, from 1.

    Only what is as near as the query's farthest hit is looked at again: with good features, little.

    Args:
        rows: the distances of each query; overwritten.
        matches: as `_matches` gives them.
    """
    ranks: list[list[np.ndarray]] = [[] for _ in extents]
    parts = [slice(start, stop) for start, stop in zip([0, *extents], extents, strict=False)]
    for i, (row, (hits, left_out)) in enumerate(zip(rows, matches, strict=True)):
        if np.isnan(row.min(initial=np.inf)):
            raise UserError(f"query row {i}: a distance is NaN; mend or leave out what it comes from")
        row[left_out] = np.nan  # which is never nearer than a number
        distances = row[hits]
        near = row <= distances.max(initial=-np.inf)
        sorted_parts = [np.sort(row[part][near[part]]) for part in parts]
        nearer = np.cumsum([part.searchsorted(distances) for part in sorted_parts], axis=0)
        as_near = sum(part.searchsorted(distances, "right") for part in sorted_parts)
        for tie in np.flatnonzero(as_near - nearer[-1] > 1):
            nearer[:, tie] += np.count_nonzero(row[: hits[tie]] == distances[tie])
        for extent, counts, of_all in zip(extents, nearer, ranks, strict=True):
            of_all.append(np.sort(counts[hits < extent]) + 1)
    return ranks


def _rectangle(count: np.ndarray, rank: np.ndarray) -> np.ndarray:
    return count / rank


def _trapezoid(count: np.ndarray, rank: np.ndarray) -> np.ndarray:
    before = np.where(rank > 1, (count - 1) / np.maximum(rank - 1, 1), 1.0)
    return (before + count / rank) / 2


# What the hit number `count` at `rank` adds to the average precision, before the division by the number of hits.
AVERAGE_PRECISION: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "rectangle": _rectangle,
    "trapezoid": _trapezoid,
}
UNMATCHED = ("skip", "zero")


def _score(ranks: list[np.ndarray], columns: int, average_precision: str, unmatched: str) -> Ranking:
    """Metrics from each query's ranks of its hits, ascending, from 1, in a gallery of `columns` rows."""
    hits = np.array([len(of_query) for of_query in ranks], dtype=np.int64)
    matched = hits > 0
    query = np.repeat(np.arange(len(ranks)), hits)
    rank = np.concatenate([np.empty(0, np.int64), *ranks])
    start = np.cumsum(hits) - hits
    count = np.arange(len(rank)) - start[query] + 1

    total = np.bincount(query, AVERAGE_PRECISION[average_precision](count, rank), minlength=len(ranks))
    precisions = np.full(len(ranks), 0.0 if unmatched == "zero" else np.nan)
    precisions[matched] = total[matched] / hits[matched]
    first = np.full(len(ranks), np.nan)
    first[matched] = rank[start[matched]]

    counted = len(ranks) if unmatched == "zero" else int(matched.sum())
    if not counted:
        return Ranking(float("nan"), np.full(columns, np.nan), precisions, first)
    found = np.bincount(rank[start[matched]] - 1, minlength=columns).cumsum()
    return Ranking(float(np.nansum(precisions) / counted), found / counted, precisions, first)


# Distances from features.


def _euclidean(products: np.ndarray, square: np.float32, squares: np.ndarray) -> None:
    products *= -2
    products += squares
    products += square
    np.maximum(products, 0, out=products)
    np.sqrt(products, out=products)


def _cosine(products: np.ndarray, square: np.float32, squares: np.ndarray) -> None:
    smallest = np.finfo(np.float32).tiny
    products /= np.sqrt(np.maximum(squares, smallest))
    products /= np.sqrt(np.maximum(square, smallest))
    np.subtract(1, products, out=products)


# Each turns a query's inner products with the gallery (G,), in place, into distances, from the squared norms of both.
Metric: TypeAlias = Callable[[np.ndarray, np.float32, np.ndarray], None]
METRICS: dict[str, Metric] = {"euclidean": _euclidean, "cosine": _cosine}

Source: TypeAlias = tuple[str, Array, np.ndarray]  # "query" or "gallery", its features, the rows of them that are meant


def _distance_rows(query: Array, sources: list[Source], metric: Metric, block: int) -> Iterator[np.ndarray]:
    """Each query's distances to the named rows of each source, side by side; good until the next is asked for."""
    chunks = [(side, part, rows[i : i + CHUNK]) for side, part, rows in sources for i in range(0, len(rows), CHUNK)]
    stops = np.cumsum([len(rows) for *_, rows in chunks], dtype=np.int64)
    columns = int(stops[-1]) if chunks else 0

    def read(number: int) -> np.ndarray:
        return _read(*chunks[number][1:])

    load = cache(read) if columns <= KEPT else read
    whole, squares = np.empty((min(block, len(query)), columns), np.float32), np.empty(columns, np.float32)
    for start in range(0, len(query), block):
        asked = np.arange(start, min(start + block, len(query)))
        features = _read(query, asked)
        query_squares = _squares("query", asked, features)
        products = whole[: len(features)]
        for number, stop in enumerate(stops):
            others = load(number)
            here = slice(stop - len(others), stop)
            if start == 0:
                side, _, rows = chunks[number]
                squares[here] = _squares(side, rows, others)
            np.matmul(features, others.T, out=products[:, here])
        for row, square in zip(products, query_squares, strict=True):
            for first in range(0, columns, CHUNK):  # so much at a time stays in the cache
                metric(row[first : first + CHUNK], square, squares[first : first + CHUNK])
            yield row


def _read(features: Array, rows: np.ndarray) -> np.ndarray:
    """The named rows (n, D) in float32, uncopied where possible."""
    together = rows[-1] - rows[0] + 1 == len(rows)
    return _array(features[rows[0] : rows[-1] + 1] if together else features[rows]).astype(np.float32, copy=False)


def _squares(side: str, rows: np.ndarray, features: np.ndarray) -> np.ndarray:
    """The squared norms of the features of the named rows."""
    squares: np.ndarray = np.einsum("nd,nd->n", features, features)
    if not np.isfinite(squares).all():
        row = rows[np.argmin(np.isfinite(squares))]
        raise UserError(f"{side} features, row {row}: NaN, infinite, or too large to be squared in float32")
    return squares


# Input.


def _array(values: Array) -> np.ndarray:
    """As numpy; tensors may be on any device, need gradients, or be bfloat16, which numpy has not."""
    if isinstance(values, np.ndarray) or not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()


def _labels(side: str, pids: Array, camids: Array, count: int) -> np.ndarray:
    """(2, count): pid and camid of each row."""
    found = []
    for name, values in ((f"{side}_pids", _array(pids)), (f"{side}_camids", _array(camids))):
        if values.shape != (count,):
            raise UserError(f"{name}: shape {values.shape} for {count} {side} rows; give one label a row")
        if count and values.dtype.kind not in "iu":
            raise UserError(f"{name}: {values.dtype}; labels are whole numbers")
        found.append(values.astype(np.int64))
    return np.stack(found)


def _choose(option: str, value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise UserError(f"no {option} {value!r}; {nearest(value, list(known))}")
    return value

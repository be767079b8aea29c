"""CMC and mAP from rows of distances: one core for every protocol.

Junk (pid -1) and tracklets of the query's person in the query's camera do not count. A hit is a gallery tracklet of the
query's person in another camera. All metrics follow from the ranks of the hits, and the rank of a hit is a count: one, plus
the tracklets that are nearer, plus those before it that are equally near. So no row has to be sorted as a whole.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from baselines.interface.errors import UserError
from benchmarks.data import JUNK

from .distances import PIECE, Array, Block, Distances, FeatureDistances, MatrixDistances, as_array
from .metrics import fixed_metric
from .protocols import PROTOCOLS, Protocol, check_choice


@dataclass(frozen=True, eq=False)
class Ranking:
    """The metrics of one protocol. Fractions, not percent.

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
    """The CMC at rank `k`, from 1; beyond the gallery's size, its last value."""
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
            in MARS's MATLAB code: the mean of (p_before + p_at) / 2, p_at the precision at the hit's rank, p_before
            that one rank earlier (1 for a hit at rank 1).
        unmatched: "skip" leaves queries without a match out of both means; "zero" counts them as 0.

    Raises:
        UserError: NaN among the distances, shapes that do not fit, or an unknown option.
    """
    check_choice("average_precision", average_precision, AVERAGE_PRECISION)
    check_choice("unmatched", unmatched, UNMATCHED)
    protocol = Protocol("", False, average_precision, unmatched, "")
    labels = query_pids, query_camids, gallery_pids, gallery_camids
    return evaluate_distances(MatrixDistances(distances), *labels, [protocol])[""]


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

    Args:
        query, gallery: (Q, D) and (G, D); memory maps are read in parts. See `FeatureDistances`.
        query_pids, query_camids, gallery_pids, gallery_camids: as for `evaluate`.
        protocols: names of `PROTOCOLS`. Where one has the queries in the gallery, they follow the gallery rows.
        metric: "euclidean" or "cosine" (1 - cos; a feature of zeros is at distance 1 from all).
        block: query rows at a time; below 512 the product is slower.

    Returns:
        The ranking of each protocol, by name.

    Raises:
        UserError: as `evaluate`; and for NaN or infinite features, an unknown protocol or metric, or a block below 1.
    """
    distances = FeatureDistances(query, gallery, fixed_metric(metric), block)
    labels = query_pids, query_camids, gallery_pids, gallery_camids
    return evaluate_distances(distances, *labels, named_protocols(protocols))


def named_protocols(names: Iterable[str]) -> list[Protocol]:
    """The protocols of those names.

    Raises:
        UserError: no such protocol.
    """
    return [PROTOCOLS[check_choice("protocol", name, PROTOCOLS)] for name in names]


def evaluate_distances(
    distances: Distances,
    query_pids: Array,
    query_camids: Array,
    gallery_pids: Array,
    gallery_camids: Array,
    protocols: Sequence[Protocol],
) -> dict[str, Ranking]:
    """Score any distances under several protocols in one pass over their rows.

    Args:
        distances: of Q queries to G gallery tracklets.
        query_pids, query_camids, gallery_pids, gallery_camids: as for `evaluate`.

    Returns:
        The ranking of each protocol, by name.

    Raises:
        UserError: NaN among the distances, labels that do not fit, or what `distances` refuses.
    """
    query_size, gallery_size = distances.shape
    queries = _labels("query", query_pids, query_camids, query_size)
    gallery = _labels("gallery", gallery_pids, gallery_camids, gallery_size)
    labels = np.concatenate([gallery, queries], axis=1)
    columns = np.flatnonzero(labels[0] != JUNK)
    extents = {
        False: int(np.searchsorted(columns, gallery_size))
    }  # columns of the gallery without the queries, and with
    if any(protocol.queries_in_gallery for protocol in protocols):
        extents[True] = len(columns)
    else:
        columns = columns[: extents[False]]

    with np.errstate(over="ignore", invalid="ignore"):  # features that overflow are refused by name
        hit_query, hit_column, *ranks = _hit_ranks(
            distances, columns, queries, labels[:, columns], list(extents.values())
        )
    by_extent = {
        extended: _sorted_ranks(hit_query, of_extent, hit_column < extent)
        for (extended, extent), of_extent in zip(extents.items(), ranks, strict=True)
    }
    return {
        protocol.name: _score(
            *by_extent[protocol.queries_in_gallery],
            query_size,
            gallery_size + query_size * protocol.queries_in_gallery,
            protocol.average_precision,
            protocol.unmatched,
        )
        for protocol in protocols
    }


Pairs: TypeAlias = tuple[np.ndarray, np.ndarray]  # (N,) queries, ascending, and (N,) columns
# An integer of 63 bits holds a query among this many, a float32 distance and a column among this many.
DISTANCE_BITS, COLUMN_BITS = 32, 26
MOST_QUERIES, COLUMNS = 32, 1 << COLUMN_BITS


def _matches(queries: np.ndarray, gallery: np.ndarray) -> tuple[Pairs, Pairs]:
    """The hits, and the tracklets of each query's own person and camera. Labels are (2, N): pid, camid."""
    order = np.argsort(gallery[0])
    first, last = (np.searchsorted(gallery[0], queries[0], side, order) for side in ("left", "right"))
    counts = last - first
    query = np.repeat(np.arange(len(counts)), counts)
    column = order[np.arange(len(query)) + np.repeat(first - np.cumsum(counts) + counts, counts)]
    same_camera = gallery[1, column] == queries[1, query]
    return (query[~same_camera], column[~same_camera]), (query[same_camera], column[same_camera])


def _hit_ranks(
    distances: Distances, columns: np.ndarray, queries: np.ndarray, gallery: np.ndarray, extents: list[int]
) -> tuple[np.ndarray, ...]:
    """The query and the column of each hit, and for each extent its rank, from 1. Ties go to the lower column.

    A rank among the first `extent` columns is a count of the nearer ones, also of a hit that lies beyond them.

    Args:
        columns: (C,) of `distances`.
        queries, gallery: labels, (2, Q) and (2, C): pid, camid.
        extents: galleries, each of the first `extent` columns, ascending.
    """
    hits, excluded = _matches(queries, gallery)
    if isinstance(distances, FeatureDistances) and distances.on_gpu:
        from .gpu_ranking import hit_ranks  # imports torch, which external features do not need

        return *hits, *hit_ranks(distances, columns, hits, excluded, extents)
    ranks = np.empty((len(extents), len(hits[0])), np.int64)
    together = min(MOST_QUERIES, max(1, PIECE // max(1, len(columns))))
    for block in distances.blocks(columns):
        for first in range(0, len(block.values), together):
            some = slice(first, min(first + together, len(block.values)))
            (own, of_hits), (_, of_excluded) = (_of_queries(pairs, block.first, some) for pairs in (hits, excluded))
            few = _rank_few(block, some, of_hits, of_excluded, extents) if len(columns) <= COLUMNS else None
            ranks[:, own] = _rank_by_sorting(block, some, of_hits, of_excluded, extents) if few is None else few
    return *hits, *ranks


def _of_queries(pairs: Pairs, first: int, queries: slice) -> tuple[slice, Pairs]:
    """Where the pairs of these queries of a block are, and these pairs, with queries counted from the first of them."""
    start, stop = first + queries.start, first + queries.stop
    own = slice(*np.searchsorted(pairs[0], (start, stop)))
    return own, (pairs[0][own] - start, pairs[1][own])


def _rank_few(block: Block, queries: slice, hits: Pairs, excluded: Pairs, extents: list[int]) -> np.ndarray | None:
    """The ranks of the hits (E, N) by sorting only what is as near as each query's farthest hit; None if that is too much.

    Query, distance and column are packed into one integer, so that a single sort serves all queries and settles ties.

    Args:
        queries: at most `MOST_QUERIES` of the block.
        hits, excluded: of these queries, which are counted from the first.
    """
    count, width = queries.stop - queries.start, block.values.shape[1]
    if block.values.dtype != np.float32 or not width:
        return None
    keys_of_hits = block.keys_at(hits[0] + queries.start, hits[1])
    farthest = np.full(count, -np.inf, np.float32)
    np.maximum.at(farthest, hits[0], keys_of_hits)
    limits = _beyond(block, queries, farthest)[:, None]
    packed_parts = []
    for first in range(0, width, PIECE):
        columns = slice(first, min(first + PIECE, width))
        piece = _without(excluded, block.keys(queries, columns), block.first + queries.start, columns)
        near = np.flatnonzero(piece <= limits)
        if len(near) > piece.size // 8:
            return None
        query = np.repeat(np.arange(count), np.diff(np.searchsorted(near, np.arange(count + 1) * piece.shape[1])))
        distance = block.to_distances(query + queries.start, piece.ravel()[near])
        packed_parts.append(_pack(query, distance, near - query * piece.shape[1] + first))
    packed = np.sort(np.concatenate(packed_parts))
    column = packed & (COLUMNS - 1)
    distances = block.to_distances(hits[0] + queries.start, keys_of_hits)
    position = packed.searchsorted(_pack(hits[0], distances, hits[1]))
    start = packed.searchsorted(np.arange(count) << (DISTANCE_BITS + COLUMN_BITS))[hits[0]]
    nearer = np.zeros((len(extents), len(packed) + 1), np.int64)
    np.cumsum(column < np.array(extents)[:, None], axis=1, out=nearer[:, 1:])
    return nearer[:, position] - nearer[:, start] + 1


def _beyond(block: Block, queries: slice, keys: np.ndarray) -> np.ndarray:
    """For one key of each query, (n,), a larger key with a larger distance; minus infinity is returned unchanged.

    The first step is much larger than the rounding error of most keys. For keys that are small compared with the query's square
    the step grows until the distance changes.
    """
    distances = block.to_distances(queries, keys.copy())
    step = np.abs(keys) * np.float32(2**-18) + np.finfo(np.float32).tiny
    beyond = keys + np.where(np.isfinite(keys), step, 0)
    while (same := (block.to_distances(queries, beyond.copy()) <= distances) & np.isfinite(beyond)).any():
        step *= 16
        beyond = np.where(same, keys + step, beyond)
    return beyond


def _pack(query: np.ndarray, distance: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Integers in the order of query, then of distance (float32), then of column."""
    bits = (distance + np.float32(0)).view(np.int32)  # adding 0 makes -0 and 0 the same
    ascending = (bits ^ (bits >> 31 & 0x7FFFFFFF)).astype(np.int64) + (1 << DISTANCE_BITS - 1)
    return (query << DISTANCE_BITS | ascending) << COLUMN_BITS | column


def _rank_by_sorting(block: Block, queries: slice, hits: Pairs, excluded: Pairs, extents: list[int]) -> np.ndarray:
    """The ranks of the hits (E, N) by sorting the whole row of each query. Arguments as for `_rank_few`."""
    distances = block.to_distances(hits[0] + queries.start, block.keys_at(hits[0] + queries.start, hits[1]))
    columns = slice(0, block.values.shape[1])
    piece = _without(excluded, block.piece(queries, columns), block.first + queries.start, columns)
    parts = [slice(start, stop) for start, stop in pairwise([0, *extents])]
    ranks = np.empty((len(extents), len(distances)), np.int64)
    bounds = hits[0].searchsorted(np.arange(len(piece) + 1)).tolist()
    for row, (start, stop) in zip(piece, pairwise(bounds), strict=True):
        of_query = distances[start:stop]
        sorted_parts = [np.sort(row[part]) for part in parts]
        nearer = np.cumsum([part.searchsorted(of_query) for part in sorted_parts], axis=0)
        as_near = sum(part.searchsorted(of_query, "right") for part in sorted_parts)
        for tie in np.flatnonzero(as_near - nearer[-1] > 1):
            column = hits[1][start + tie]
            nearer[:, tie] += [np.count_nonzero(row[: min(column, extent)] == of_query[tie]) for extent in extents]
        ranks[:, start:stop] = nearer + 1
    return ranks


def _without(excluded: Pairs, piece: np.ndarray, first: int, columns: slice) -> np.ndarray:
    """A piece of keys or distances with NaN for the excluded tracklets: nearer than nothing, and sorted last.

    Args:
        first: the number of its first query, for the error message.
        columns: of the piece.
    """
    if np.isnan(piece.min(initial=np.inf)):
        row = first + int(np.isnan(piece).any(axis=1).argmax())
        raise UserError(f"query row {row}: a distance is NaN; correct or remove its source")
    inside = (excluded[1] >= columns.start) & (excluded[1] < columns.stop)
    piece[excluded[0][inside], excluded[1][inside] - columns.start] = np.nan
    return piece


def _sorted_ranks(query: np.ndarray, rank: np.ndarray, inside: np.ndarray) -> Pairs:
    """The hits inside an extent: their queries and ranks, in ascending order."""
    order = np.lexsort((rank[inside], query[inside]))
    return query[inside][order], rank[inside][order]


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


def _score(
    query: np.ndarray, rank: np.ndarray, queries: int, columns: int, average_precision: str, unmatched: str
) -> Ranking:
    """Metrics from each hit's query and rank, in ascending order, of so many queries, in a gallery of `columns` rows."""
    hits = np.bincount(query, minlength=queries)
    matched = hits > 0
    start = np.cumsum(hits) - hits
    count = np.arange(len(rank)) - start[query] + 1

    total = np.bincount(query, AVERAGE_PRECISION[average_precision](count, rank), minlength=queries)
    precisions = np.full(queries, 0.0 if unmatched == "zero" else np.nan)
    precisions[matched] = total[matched] / hits[matched]
    first = np.full(queries, np.nan)
    first[matched] = rank[start[matched]]

    counted = queries if unmatched == "zero" else int(matched.sum())
    if not counted:
        return Ranking(float("nan"), np.full(columns, np.nan), precisions, first)
    first_hits = np.bincount(rank[start[matched]] - 1, minlength=columns).cumsum()
    return Ranking(float(np.nansum(precisions) / counted), first_hits / counted, precisions, first)


def _labels(side: str, pids: Array, camids: Array, count: int) -> np.ndarray:
    """(2, count): pid and camid of each row."""
    labels = []
    for name, values in ((f"{side}_pids", as_array(pids)), (f"{side}_camids", as_array(camids))):
        if values.shape != (count,):
            raise UserError(f"{name}: shape {values.shape} for {count} {side} rows; give one label a row")
        if count and values.dtype.kind not in "iu":
            raise UserError(f"{name}: {values.dtype}; labels are whole numbers")
        labels.append(values.astype(np.int64))
    return np.stack(labels)

"""CMC and mAP from rows of distances: one core for every protocol.

Junk (pid -1) and tracklets of the query's person in the query's camera do not count. A hit is a gallery tracklet of the
query's person in another camera. All metrics follow from the ranks of the hits, and the rank of a hit is a count: one, plus
the tracklets that are nearer, plus those before it that are equally near. So no row has to be sorted as a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baselines.interface.errors import UserError
from benchmarks.data import JUNK

from .distances import Array, Distances, FeatureDistances, MatrixDistances, as_array
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
        matches = _matches(queries, labels[:, columns])
        ranks = dict(zip(extents, _hit_ranks(distances.rows(columns), matches, list(extents.values())), strict=True))
    return {
        protocol.name: _score(
            ranks[protocol.queries_in_gallery],
            gallery_size + query_size * protocol.queries_in_gallery,
            protocol.average_precision,
            protocol.unmatched,
        )
        for protocol in protocols
    }


def _matches(queries: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query, the columns of its hits and those of its own person and camera; labels are (2, N): pid, camid."""
    order = np.argsort(gallery[0])
    cameras = gallery[1, order]
    first, last = (np.searchsorted(gallery[0], queries[0], side, order).tolist() for side in ("left", "right"))
    for start, stop, camid in zip(first, last, queries[1].tolist(), strict=True):
        person, same_camera = order[start:stop], cameras[start:stop] == camid
        yield person[~same_camera], person[same_camera]


def _hit_ranks(
    rows: Iterable[np.ndarray], matches: Iterable[tuple[np.ndarray, np.ndarray]], extents: list[int]
) -> list[list[np.ndarray]]:
    """For each extent and each query, the ranks of the hits, ascending, from 1. Ties go to the lower column.

    Only distances up to that of the query's farthest hit are sorted: with good features, few.

    Args:
        rows: the distances of each query; overwritten.
        matches: of each query, from `_matches`.
        extents: galleries, each of the first `extent` columns, ascending.
    """
    ranks: list[list[np.ndarray]] = [[] for _ in extents]
    parts = [slice(start, stop) for start, stop in zip([0, *extents], extents, strict=False)]
    for i, (row, (hits, excluded)) in enumerate(zip(rows, matches, strict=True)):
        if np.isnan(row.min(initial=np.inf)):
            raise UserError(f"query row {i}: a distance is NaN; correct or remove its source")
        row[excluded] = np.nan  # compares as not near
        distances = row[hits]
        near = row <= distances.max(initial=-np.inf)
        sorted_parts = [np.sort(row[part][near[part]]) for part in parts]
        nearer = np.cumsum([part.searchsorted(distances) for part in sorted_parts], axis=0)
        as_near = sum(part.searchsorted(distances, "right") for part in sorted_parts)
        for tie in np.flatnonzero(as_near - nearer[-1] > 1):
            nearer[:, tie] += np.count_nonzero(row[: hits[tie]] == distances[tie])
        for extent, counts, of_extent in zip(extents, nearer, ranks, strict=True):
            of_extent.append(np.sort(counts[hits < extent]) + 1)
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
    """Metrics from the ranks of each query's hits, ascending, from 1, in a gallery of `columns` rows."""
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

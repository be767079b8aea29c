"""The ranked lists of a finished run: extract its tracklets again, and rank chosen queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from baselines.interface.errors import UserError
from benchmarks.clips.reading import FlowStacks, read_frames
from benchmarks.clips.subsets import test_tracklets
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.data.frame_stores import Store
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.extraction import extract_frames
from benchmarks.engine.model import ReidModel
from benchmarks.engine.run import Machine, flow_for, trained_model
from benchmarks.engine.scoring import compare_tracklets, read_metrics
from benchmarks.evaluation.distances import rows_of
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.experiments.settings import Settings

from .folder import RunFolder
from .query_file import read_queries
from .record import Record
from .staleness import refuse_other_data

LISTED, FRAMES = 10, 8  # gallery tracklets of a query, and frames of a tracklet, that are shown


class ShownTracklet(NamedTuple):
    """A tracklet in a picture of a ranked list.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB at the network's input size, evenly spaced over the tracklet.
        weights: (F,) the frames' weights, where the baseline has any.
        is_match: whether it shows the query's person.
        distance: from the query.
    """

    tracklet: str
    pid: int
    camid: int
    frames: np.ndarray
    weights: np.ndarray | None
    is_match: bool = True
    distance: float = 0.0


@dataclass(frozen=True)
class RankedQuery:
    """A query and the gallery tracklets nearest to it. average_precision: a fraction; first_hit_rank: from 1.

    Attributes:
        first_right: the nearest tracklet of the query's person, where `gallery` ends before it; else None.
    """

    query: ShownTracklet
    gallery: list[ShownTracklet]
    first_right: ShownTracklet | None
    average_precision: float
    first_hit_rank: int


@torch.inference_mode()
def rank_queries(
    source: RunFolder,
    record: Record,
    data: LoadedDataset,
    machine: Machine,
    count: int = 10,
    protocol: str | None = None,
    names: Sequence[str] = (),
) -> list[RankedQuery]:
    """The `count` queries with the lowest average precision (or the named ones), worst first, each with its nearest 10 tracklets
    and, if all of them are wrong, with the first right one.

    Raises:
        UserError: the run has no weights, was evaluated on other data, or lacks the query or the protocol; or the results of
            its queries are damaged.
    """
    refuse_other_data(record, data)
    results = _choose_queries(read_queries(source.queries), record, count, protocol, names)
    model, settings = trained_model(source, record, machine)
    flow = flow_for(record.experiment.method, data, settings, machine)
    queries, gallery = test_tracklets(data)
    both = pd.concat([queries, gallery], ignore_index=True)
    progress = partial(machine.report, "extract", note=data.name)
    seed = record.experiment.seed
    metrics = read_metrics(source.fitted_metric, settings)
    compared = compare_tracklets(model, both, data.store, settings, metrics, machine.workers, progress, seed, flow)
    in_gallery = np.arange(len(queries), len(both))
    if PROTOCOLS[results.protocol.iloc[0]].queries_in_gallery:
        in_gallery = np.concatenate([in_gallery, np.arange(len(queries))])
    row_of = {name: row for row, name in enumerate(queries.tracklet)}
    query_rows = np.array([row_of[name] for name in results["query"]])
    distances = rows_of(compared["before"](query_rows, in_gallery), np.arange(len(in_gallery)))
    nearest = [_nearest(row, of_row, in_gallery, both) for row, of_row in zip(query_rows, distances, strict=True)]
    shown_rows = sorted({int(row) for row in query_rows} | {row for each in nearest for row, _ in each})
    shown = _load_tracklets(model, both, shown_rows, data.store, settings, seed, flow)
    lists = []
    for row, of_query, result in zip(query_rows, nearest, results.itertuples(), strict=True):
        listed = [
            shown[other]._replace(is_match=bool(both.pid[other] == both.pid[row]), distance=distance)
            for other, distance in of_query
        ]
        first_right = listed[LISTED] if len(listed) > LISTED else None
        figures = result.average_precision, int(result.first_hit_rank)
        lists.append(RankedQuery(shown[row], listed[:LISTED], first_right, *figures))
    return lists


def _choose_queries(
    results: pd.DataFrame, record: Record, count: int, protocol: str | None, names: Sequence[str]
) -> pd.DataFrame:
    protocol = protocol or record.first_protocol
    rows = results[(results.protocol == protocol) & (results.feature == "before")].dropna(subset="first_hit_rank")
    if rows.empty:
        raise UserError(f"--protocol {protocol}: {record.name} has no query with a match under this protocol")
    if unknown := set(names) - set(rows["query"]):
        raise UserError(
            f"--query {min(unknown)}: no query of that name with a match in {record.name}; `bench report` lists the queries"
        )
    rows = rows[rows["query"].isin(names)] if names else rows
    return rows.sort_values(["average_precision", "query"], kind="stable").head(len(names) or count)


def _nearest(row: int, distances: np.ndarray, gallery: np.ndarray, tracklets: pd.DataFrame) -> list[tuple[int, float]]:
    """The rows of the tracklets nearest to a query, with their distances, without its person in its camera. If all are wrong,
    the first right one follows.

    Args:
        row: of the query.
        distances: (G,) to the tracklets in the rows `gallery`, (G,).
    """
    pids, camids = tracklets.pid.to_numpy(), tracklets.camid.to_numpy()
    counts = (pids[gallery] != pids[row]) | (camids[gallery] != camids[row])
    distances, gallery = distances[counts], gallery[counts]
    order = np.argsort(distances, kind="stable")  # ties go to the lower row, as in the evaluation
    nearest, right = order[:LISTED], order[pids[gallery[order]] == pids[row]][:1]
    if not set(right) & set(nearest):
        nearest = np.concatenate([nearest, right])
    return [(int(gallery[each]), float(distances[each])) for each in nearest]


def _load_tracklets(
    model: ReidModel,
    tracklets: pd.DataFrame,
    rows: list[int],
    store: Store,
    settings: Settings,
    seed: int,
    flow: FlowStacks | None,
) -> dict[int, ShownTracklet]:
    """The tracklets in `rows`, with the weights that the model gives to the frames that are shown."""
    part = tracklets.iloc[rows].reset_index(drop=True)
    chunks = TrackletChunks(part, store, settings, seed)
    shown = {}
    for each in extract_frames(model, part, store, settings, seed=seed, flow=flow):
        names = [chunks.tracklets[each.row][position] for position in chunks.ordered(each.row)]
        positions = np.unique(np.linspace(0, len(names) - 1, FRAMES).round().astype(int)).tolist()
        pixels = read_frames(store, [names[position] for position in positions], settings)
        weights = None
        if each.weights is not None:
            of_frames = each.weights.reshape(len(names), -1).mean(dim=1)  # over the blocks
            weights = of_frames.numpy()[positions]
        shown[rows[each.row]] = ShownTracklet(
            part.tracklet[each.row],
            int(part.pid[each.row]),
            int(part.camid[each.row]),
            pixels.permute(0, 2, 3, 1).numpy(),
            weights,
        )
    return shown

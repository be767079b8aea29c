"""The ranked lists behind a finished run's figures: features are extracted again, and chosen queries ranked with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from baselines.interface.errors import UserError
from benchmarks.clips.reading import read_frames
from benchmarks.clips.subsets import test_tracklets
from benchmarks.clips.tracklet_chunks import TrackletChunks
from benchmarks.data.frame_stores import Store
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.extraction import Features, extract
from benchmarks.engine.model import ReidModel
from benchmarks.engine.precision import autocast
from benchmarks.engine.run import Machine, flow_for, trained_model
from benchmarks.evaluation.ranking import METRICS, PROTOCOLS
from benchmarks.experiments.settings import Settings

from .records import Record, RunFolder

FIRST, FRAMES = 10, 8  # gallery tracklets of a query, frames of a tracklet that are shown


class Shown(NamedTuple):
    """A tracklet to look at.

    frames: (F, H, W, 3) uint8 RGB in the size that the network sees, evenly from the tracklet; quality: (F,) the frames' weights,
    where the baseline weights them. right: whether it shows the query's person; distance: from the query.
    """

    tracklet: str
    pid: int
    camid: int
    frames: np.ndarray
    quality: np.ndarray | None
    right: bool = True
    distance: float = 0.0


@dataclass(frozen=True)
class RankedQuery:
    """A query and what is nearest to it. average_precision: a fraction; first_hit_rank: from 1."""

    query: Shown
    gallery: list[Shown]
    average_precision: float
    first_hit_rank: int


def ranked(
    source: RunFolder,
    record: Record,
    data: LoadedDataset,
    machine: Machine,
    count: int = 10,
    protocol: str | None = None,
    names: Sequence[str] = (),
) -> list[RankedQuery]:
    """The `count` queries with the lowest average precision (or those named), worst first, and their nearest 10 tracklets.

    Raises:
        UserError: no weights, other data than the run was evaluated on, or a query or protocol that the run has not.
    """
    if data.digest != record["experiment"]["test_data"]:
        raise UserError(
            f"data set {data.name}: not the data that {record['name']} was evaluated on; its strips would lie"
        )
    results = _chosen(pd.read_parquet(source.queries), record, count, protocol, names)
    model, settings = trained_model(source, record, machine)
    flow = flow_for(record["experiment"]["method"], data, settings, machine)
    queries, gallery = test_tracklets(data)
    both = pd.concat([queries, gallery], ignore_index=True)
    progress = partial(machine.report, "extract", note=data.name)
    seed = record["experiment"]["seed"]
    features = extract(model, both, data.store, settings, machine.workers, progress, seed, flow).before
    shown = np.arange(len(queries), len(both))
    if PROTOCOLS[results.protocol.iloc[0]].queries_in_gallery:
        shown = np.concatenate([shown, np.arange(len(queries))])
    rows = {name: row for row, name in enumerate(queries.tracklet)}
    asked = [rows[name] for name in results["query"]]
    nearest = [_nearest(row, shown, features, both, settings.metric) for row in asked]
    wanted = sorted({*asked, *(int(row) for near, _ in nearest for row in near)})
    look = _look(model, both, wanted, data.store, settings, seed, flow)
    found = []
    for row, (near, distances), result in zip(asked, nearest, results.itertuples(), strict=True):
        of_query = [
            look[int(other)]._replace(right=bool(both.pid[other] == both.pid[row]), distance=float(distance))
            for other, distance in zip(near, distances, strict=True)
        ]
        found.append(RankedQuery(look[row], of_query, result.average_precision, int(result.first_hit_rank)))
    return found


def _chosen(
    results: pd.DataFrame, record: Record, count: int, protocol: str | None, names: Sequence[str]
) -> pd.DataFrame:
    protocol = protocol or record["metrics"][0]["protocol"]
    rows = results[(results.protocol == protocol) & (results.feature == "before")].dropna(subset="first_hit_rank")
    if rows.empty:
        raise UserError(f"--protocol {protocol}: {record['name']} has it not, or no query with a match under it")
    if unknown := set(names) - set(rows["query"]):
        raise UserError(
            f"--query {min(unknown)}: no such query with a match in {record['name']}; `bench report` lists them"
        )
    rows = rows[rows["query"].isin(names)] if names else rows
    return rows.sort_values(["average_precision", "query"], kind="stable").head(len(names) or count)


def _nearest(
    row: int, shown: np.ndarray, features: Features, table: pd.DataFrame, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the nearest tracklets and their distances; what shows the person in the query's camera is left out."""
    pids, camids = table.pid.to_numpy(), table.camid.to_numpy()
    others = shown[(pids[shown] != pids[row]) | (camids[shown] != camids[row])]
    squares = np.einsum("nd,nd->n", features, features)
    distances = features[others] @ features[row]
    METRICS[metric](distances, squares[row], squares[others])
    order = np.argsort(distances, kind="stable")[:FIRST]  # ties to the lower row, as the evaluation has it
    return others[order], distances[order]


@torch.inference_mode()
def _look(
    model: ReidModel,
    table: pd.DataFrame,
    rows: list[int],
    store: Store,
    settings: Settings,
    seed: int,
    flow: Store | None,
) -> dict[int, Shown]:
    """Frames and weights of the tracklets in `rows`. Weights come from the chunks that made the features."""
    part = table.iloc[rows].reset_index(drop=True)
    chunks = TrackletChunks(part, store, settings, seed, flow, model.baseline.test_clips)
    weights = {row: np.full(len(frames), np.nan) for row, frames in enumerate(chunks.frames)}
    model.eval()
    for i in range(len(chunks)):
        frames, batch, motion = chunks[i]
        with autocast(settings.precision, next(model.parameters()).device):
            of_batch = model(frames, flow=motion).weights
        if of_batch is None:
            break
        means = of_batch.flatten(2).mean(dim=2) if of_batch.dim() == 3 else of_batch  # over the blocks
        for (row, start, stop), values in zip(batch, means.float().cpu().numpy(), strict=True):
            weights[row][start:stop] = values[: stop - start]
    look = {}
    for i, row in enumerate(rows):
        names = chunks.ordered(i)  # in the order that the network saw them
        places = np.unique(np.linspace(0, len(names) - 1, FRAMES).round().astype(int)).tolist()
        pixels = read_frames(store, [names[place] for place in places], settings).permute(0, 2, 3, 1).numpy()
        quality = None if np.isnan(weights[i]).any() else weights[i][places]
        look[row] = Shown(part.tracklet[i], int(part.pid[i]), int(part.camid[i]), pixels, quality)
    return look

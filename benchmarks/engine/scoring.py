"""From a trained model to metrics: compare tracklets, and compute the rows of a record."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines import MATCHERS
from baselines.interface.errors import UserError
from baselines.interface.matcher import Matcher
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.subsets import test_tracklets
from benchmarks.clips.tracklet_chunks import tested
from benchmarks.data.frame_stores import Store
from benchmarks.data.loading import LoadedDataset
from benchmarks.evaluation.distances import Distances, FeatureDistances, PairwiseDistances
from benchmarks.evaluation.metrics import FITTED_METRICS, METRICS, Metric, fit_metric, fitted_metric
from benchmarks.evaluation.ranking import Ranking, evaluate_distances, named_protocols
from benchmarks.experiments.settings import NO_MATCHER, Settings
from benchmarks.runs.checksums import check_file
from benchmarks.runs.metrics import metrics_of, query_table
from benchmarks.runs.record import Metrics

from . import distributed
from .extraction import TrackletFeatures, extract, extract_frames
from .model import ReidModel

if TYPE_CHECKING:
    from benchmarks.runs.cost import Clock

    from .run import Machine

Rows: TypeAlias = slice | NDArray[np.int64]
# Distances of some rows of a table of tracklets, the queries, to other rows, the gallery.
Comparison: TypeAlias = Callable[[Rows, Rows], Distances]


def find_matcher(model: ReidModel, settings: Settings) -> Matcher | None:
    """The matcher that the settings name, or the baseline's own; None where distances are those of features.

    Raises:
        UserError: the settings name a metric that is fitted, too.
    """
    matcher: Matcher | None = None
    if settings.matcher not in NO_MATCHER:
        matcher = MATCHERS.get(settings.matcher)()
    elif settings.matcher == "own":
        matcher = model.baseline.matcher
    if matcher is not None and settings.metric in FITTED_METRICS:
        which = "the baseline's own matcher" if settings.matcher == "own" else f"the matcher {settings.matcher}"
        raise UserError(
            f"metric={settings.metric}: {which} compares the tracklets, without a metric; omit metric, or add --set matcher=none"
        )
    return matcher


def needs_fit(settings: Settings) -> bool:
    """Whether the metric that the settings name is fitted on the training tracklets."""
    return settings.metric in FITTED_METRICS


def fit_metrics(
    model: ReidModel,
    training: pd.DataFrame,
    store: Store,
    settings: Settings,
    machine: "Machine",
    clock: "Clock",
    seed: int,
    flow: FlowStacks | None,
) -> dict[str, Metric]:
    """The metric of the settings for each kind of feature, fitted on the training tracklets where it must be.

    Raises:
        UserError: the training tracklets do not suffice.
    """
    if not needs_fit(settings):
        return _fixed_metrics(settings)
    clock.start()
    features = extract(model, training, store, settings, machine.workers, partial(machine.report, "fit"), seed, flow)
    pids, camids = training.pid.to_numpy(), training.camid.to_numpy()
    metrics = {
        name: fit_metric(settings.metric, vectors, pids, camids, seed) for name, vectors in features._asdict().items()
    }
    clock.lap("fit", len(training))
    return metrics


def _fixed_metrics(settings: Settings) -> dict[str, Metric]:
    """A metric that is not fitted, by kind of feature."""
    return dict.fromkeys(TrackletFeatures._fields, METRICS[settings.metric])


FITTED_PARTS = ("projection", "signs")  # what is stored of a fitted metric


def write_metrics(metrics: dict[str, Metric], file: Path) -> None:
    """Fitted metrics as an npz file."""
    arrays = {f"{name}_{part}": getattr(metric, part) for name, metric in metrics.items() for part in FITTED_PARTS}
    with file.open("wb") as open_file:
        np.savez(open_file, **arrays)


def read_metrics(file: Path, settings: Settings) -> dict[str, Metric]:
    """The metrics of a finished run, as `fit_metrics` returned them; the fitted ones are read from the run's file.

    Raises:
        UserError: no such file, or a damaged one.
    """
    if not needs_fit(settings):
        return _fixed_metrics(settings)
    if not file.exists():
        raise UserError(f"{file}: not found; `bench run ... --fresh` makes it again")
    check_file(file)
    with np.load(file) as arrays:
        return {
            name: fitted_metric(*(arrays[f"{name}_{part}"] for part in FITTED_PARTS))
            for name in TrackletFeatures._fields
        }


@torch.inference_mode()
def compare_tracklets(
    model: ReidModel,
    tracklets: pd.DataFrame,
    store: Store,
    settings: Settings,
    metrics: dict[str, Metric],
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
    flow: FlowStacks | None = None,
) -> dict[str, Comparison]:
    """The distances between rows of `tracklets`, for each kind of feature. Features or descriptions are computed now, distances
    later.

    A matcher has only the kind "before": it sees features before batch normalisation.

    Args:
        metrics: of each kind of feature.
        workers, progress, seed, flow: as for `extract`.

    Raises:
        UserError: NaN or infinite features.
    """
    matcher = find_matcher(model, settings)
    if matcher is not None:
        tracklet_frames = extract_frames(model, tracklets, store, settings, workers, progress, seed, flow)
        own = {}
        for each in tracklet_frames:
            # A matcher that picks the smallest distances would pass over NaN.
            if not torch.isfinite(each.frames).all():
                raise UserError(f"features of tracklet {tracklets.tracklet.iloc[each.row]}: NaN or infinite")
            own[each.row] = matcher.describe(each.frames, each.weights, each.coherence)
        descriptions = np.empty(len(tracklets), object)
        for row, description in chain.from_iterable(share.items() for share in distributed.from_all(own)):
            descriptions[row] = description
        return {"before": partial(_compare_descriptions, descriptions, matcher)}
    features = extract(model, tracklets, store, settings, workers, progress, seed, flow)
    device = next(model.parameters()).device
    return {
        name: partial(_compare_features, torch.from_numpy(vectors).to(device), metrics[name])
        for name, vectors in features._asdict().items()
    }


def _compare_descriptions(descriptions: np.ndarray, matcher: Matcher, queries: Rows, gallery: Rows) -> Distances:
    return PairwiseDistances(matcher, list(descriptions[queries]), list(descriptions[gallery]))


def _compare_features(features: Tensor, metric: Metric, queries: Rows, gallery: Rows) -> Distances:
    return FeatureDistances(features[queries], features[gallery], metric)


@torch.inference_mode()
def score(
    model: ReidModel,
    data: LoadedDataset,
    settings: Settings,
    metrics: dict[str, Metric],
    machine: "Machine",
    clock: "Clock",
    seed: int,
    flow: FlowStacks | None,
) -> tuple[list[Metrics], pd.DataFrame]:
    """Metrics, and results of each query, under every protocol of the data set."""
    queries, gallery = test_tracklets(data)
    both = pd.concat([queries, gallery])
    clock.start()
    progress = partial(machine.report, "extract", note=data.name)
    compared = compare_tracklets(model, both, data.store, settings, metrics, machine.workers, progress, seed, flow)
    clock.lap("extract", sum(len(tested(len(frames), settings)) for frames in both.frames))
    rows = slice(len(queries)), slice(len(queries), None)
    rankings = {
        name: rank_tracklets(compare(*rows), queries, gallery, data.protocols) for name, compare in compared.items()
    }
    clock.lap("evaluate", len(both))
    return tabulate_rankings(rankings, queries)


@torch.inference_mode()
def validate(
    model: ReidModel,
    held_out: pd.DataFrame,
    store: Store,
    settings: Settings,
    metrics: dict[str, Metric],
    machine: "Machine",
    seed: int,
    flow: FlowStacks | None,
) -> list[Metrics]:
    """Metrics of held-out training tracklets: each is a query, and all are the gallery."""
    compared = compare_tracklets(model, held_out, store, settings, metrics, machine.workers, seed=seed, flow=flow)
    rows = []
    for name, compare in compared.items():
        ranking = rank_tracklets(compare(slice(None), slice(None)), held_out, held_out, ["standard"])["standard"]
        rows += metrics_of({"validation": ranking}, name)
    return rows


def validate_epoch(
    model: ReidModel,
    training: pd.DataFrame,
    held_out: pd.DataFrame,
    store: Store,
    machine: "Machine",
    clock: "Clock",
    seed: int,
    flow: FlowStacks | None,
    epoch: int,
) -> dict[str, float]:
    """mAP and R1 of held-out training tracklets, in [0, 1], every `validate_every` epochs and after the last one.

    The training is not changed by it: the modules are in the same mode as before, and what a training step draws depends on the
    seed and the step alone.
    """
    settings = model.settings
    if epoch % settings.validate_every and epoch != settings.epochs:
        return {}
    modes = {module: module.training for module in model.modules()}
    metrics = fit_metrics(model, training, store, settings, machine, clock, seed, flow)
    found = validate(model, held_out, store, settings, metrics, machine, seed, flow)[0]
    for module, mode in modes.items():
        module.training = mode
    known = {"validation_mAP": found.mAP, "validation_R1": found.R1}
    return {name: value for name, value in known.items() if value is not None}


def rank_tracklets(
    distances: Distances, queries: pd.DataFrame, gallery: pd.DataFrame, protocols: Sequence[str]
) -> dict[str, Ranking]:
    """The ranking under each protocol, from distances and the tables (pid, camid) of their tracklets."""
    return evaluate_distances(
        distances,
        queries.pid.to_numpy(),
        queries.camid.to_numpy(),
        gallery.pid.to_numpy(),
        gallery.camid.to_numpy(),
        named_protocols(protocols),
    )


def tabulate_rankings(
    rankings: dict[str, dict[str, Ranking]], queries: pd.DataFrame
) -> tuple[list[Metrics], pd.DataFrame]:
    """Rows of a record, and the table of results by query, from rankings by kind of feature and protocol."""
    rows = [row for feature, of_feature in rankings.items() for row in metrics_of(of_feature, feature)]
    parts = [query_table(of_feature, feature, queries) for feature, of_feature in rankings.items()]
    return rows, pd.concat(parts, ignore_index=True)

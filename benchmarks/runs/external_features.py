"""Features of other code become a normal record, and the features of our runs are written to files.

A file holds one subset: `feature` (N, D), `pid` (N,), `camid` (N,), `tracklet` (N,) as npz arrays or parquet columns.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baselines.backbones.weights import file_digest
from baselines.interface.errors import UserError
from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.loading import LoadedDataset, find_dataset
from benchmarks.engine.extraction import extract
from benchmarks.engine.run import Machine, flow_for, trained_model
from benchmarks.engine.scoring import rank_tracklets, tabulate_rankings
from benchmarks.evaluation.distances import FeatureDistances
from benchmarks.evaluation.metrics import fixed_metric
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.experiments.experiment import EXTERNAL, Experiment

from .cost import Clock, new_record
from .folder import RunFolder
from .record import Record, check_name
from .store import write_record
from .unfinished import start_run

COLUMNS = ("feature", "pid", "camid", "tracklet")
LONGEST_NAME = 60  # bytes, so that tables and the name of a folder have room for it


def read_features(file: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) float32 and a table of pid, camid, tracklet.

    Raises:
        UserError: not npz or parquet, a missing column, lengths that differ, no row, features of length 0, a feature that is
            not finite, a pid or camid that is not a whole number, or a tracklet that appears twice.
    """
    try:
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file)
            columns: dict[str, Any] = {name: frame[name].to_numpy() for name in COLUMNS if name in frame}
            if "feature" in columns:
                columns["feature"] = np.stack(columns["feature"])
        else:
            with np.load(file, allow_pickle=False) as arrays:
                columns = {name: arrays[name] for name in COLUMNS if name in arrays}
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench score --help` describes its format") from None
    except Exception as error:
        raise UserError(f"{file}: cannot be read as npz or parquet ({error})") from error
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise UserError(f"{file}: lacks {', '.join(lacking)}; a file holds {', '.join(COLUMNS)}")
    raw = np.asarray(columns.pop("feature"))
    if raw.dtype.kind not in "fiu":
        raise UserError(f"{file}: feature must be numeric, not {raw.dtype}")
    feature = raw.astype(np.float32)
    if feature.ndim != 2 or any(np.shape(column) != (len(feature),) for column in columns.values()):
        sizes = ", ".join(f"{name} {np.shape(column)}" for name, column in columns.items())
        raise UserError(f"{file}: feature {feature.shape} must be (N, D) and the rest (N,): {sizes}")
    if not feature.size:
        raise UserError(
            f"{file}: has no {'rows' if len(feature) == 0 else 'numbers in its features'}; extract them again"
        )
    if not np.isfinite(feature).all():
        raise UserError(
            f"{file}: feature row {int(np.flatnonzero(~np.isfinite(feature).all(axis=1))[0])} is not finite"
        )
    whole_numbers = {name: _whole_numbers(columns[name], f"{file}: {name}") for name in ("pid", "camid")}
    table = pd.DataFrame({**whole_numbers, "tracklet": columns["tracklet"].astype(str)})
    twice = table.tracklet[table.tracklet.duplicated()]
    if len(twice):
        raise UserError(
            f"{file}: tracklet {twice.iloc[0]!r} appears twice; give each tracklet one row and its own name"
        )
    return feature, table


def _whole_numbers(values: np.ndarray, source: str) -> np.ndarray:
    truths = values.dtype.kind == "O" and any(isinstance(value, bool) for value in values)
    if values.dtype.kind in "bcmM" or truths:  # numpy would take true for 1, and a date for its nanoseconds
        raise UserError(f"{source} must be whole numbers, not {'bool' if truths else values.dtype}")
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{source} must be whole numbers, not {values[0]!r}") from None
    wrong = np.flatnonzero((numbers % 1 != 0) | (np.abs(numbers) >= 2**63))  # of a NaN or an infinity the rest is NaN
    if len(wrong):
        raise UserError(f"{source} must be whole numbers, but row {wrong[0]} has {values[wrong[0]]}")
    return values.astype(np.int64)


def score_files(query: Path, gallery: Path, method: str, dataset: str, metric: str, results_dir: Path) -> Record:
    """The record of features in two files, under every protocol; its data digests are those of the files.

    Args:
        method, dataset: their names in tables.
        metric: euclidean or cosine.

    Raises:
        UserError: a bad name, a file that `read_features` refuses, two that do not fit, or no query with a match.
    """
    _check_label("--method", method)
    _check_label("--dataset", dataset)
    clock = Clock()
    (query_features, queries), (gallery_features, others) = read_features(query), read_features(gallery)
    if query_features.shape[1] != gallery_features.shape[1]:
        raise UserError(
            f"{gallery}: features of length {gallery_features.shape[1]}, {query} has {query_features.shape[1]}"
        )
    data = f"{file_digest(query)[:32]}{file_digest(gallery)[:32]}"
    experiment = Experiment(method, dataset, dataset, {"metric": metric}, 0, 0, data, data, "none", recipe=EXTERNAL)
    _warn_of_ties(gallery_features, gallery)
    distances = FeatureDistances(query_features, gallery_features, fixed_metric(metric))
    rankings = rank_tracklets(distances, queries, others, _protocols(dataset))
    clock.lap("evaluate", len(queries) + len(others))
    metrics, per_query = tabulate_rankings({"before": rankings}, queries)
    if not any(row.queries for row in metrics):
        raise UserError(f"{query}: no query has a match in {gallery}: a row with the same pid and another camid")
    record = new_record(experiment, metrics, clock)
    folder = RunFolder(results_dir / experiment.name)
    with folder.lock():
        start_run(folder, experiment, record.code)
        write_record(folder, record, per_query)
    return record


def _warn_of_ties(gallery: np.ndarray, file: Path) -> None:
    """Say on stderr how equally near tracklets are ranked, if gallery features (N, D) are equal."""
    equal = len(gallery) - len({hash(row.tobytes()) for row in gallery + np.float32(0)})  # the sum makes -0 equal 0
    if equal:
        print(
            f"bench: {file}: {equal} of {len(gallery)} features are equal to another one; tracklets that are equally near are "
            "ranked in the order of the file",
            file=sys.stderr,
        )


def _check_label(option: str, label: str) -> None:
    try:
        check_name(label)
    except ValueError as error:
        raise UserError(f"{option} {error}") from None
    if len(label.encode()) > LONGEST_NAME:
        raise UserError(f"{option} {label[:LONGEST_NAME]!r}...: at most {LONGEST_NAME} bytes, to fit into tables")


def _protocols(dataset: str) -> tuple[str, ...]:
    """All protocols; those of the data set first, if it is one that this version knows."""
    try:
        own = find_dataset(dataset).protocols
    except UserError:
        own = ()
    return tuple(dict.fromkeys((*own, *PROTOCOLS)))


def export_features(source: RunFolder, record: Record, data: LoadedDataset, to: Path, machine: Machine) -> list[Path]:
    """Write the features of a finished run, before batch normalisation, to NAME-query.npz and NAME-gallery.npz.

    Raises:
        UserError: `to` is a file, or the run's weights are missing.
    """
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: not a folder; name a folder, new or existing")
    model, settings = trained_model(source, record, machine)
    experiment = record.experiment
    flow = flow_for(experiment.method, data, settings, machine)
    written = []
    for subset, tracklets in zip(("query", "gallery"), test_tracklets(data), strict=True):
        progress = partial(machine.report, subset, note=data.name)
        features = extract(model, tracklets, data.store, settings, machine.workers, progress, experiment.seed, flow)
        file = to / f"{record.name}-{subset}.npz"
        to.mkdir(parents=True, exist_ok=True)
        names = np.array(list(tracklets.tracklet), dtype=np.str_)
        np.savez(file, feature=features.before, pid=tracklets.pid, camid=tracklets.camid, tracklet=names)
        written.append(file)
    return written

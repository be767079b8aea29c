"""Features in and out: what someone else's code extracted becomes a normal record, and ours are handed out.

A file holds one subset: `feature` (N, D), `pid` (N,), `camid` (N,), `tracklet` (N,) as npz arrays or parquet columns.
"""

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

from . import records
from .cost import Clock, new_record
from .records import Record, RunFolder

COLUMNS = ("feature", "pid", "camid", "tracklet")
LONGEST = 60  # characters of a name in a table


def read_features(file: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) float32 and a table of pid, camid, tracklet.

    Raises:
        UserError: not npz or parquet, a column that lacks, lengths that differ, no row, a feature that is not finite, or
            a pid or camid that is not a whole number.
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
        raise UserError(f"{file}: no such file; `bench score --help` says what one holds") from None
    except Exception as error:
        raise UserError(f"{file}: cannot be read as npz or parquet ({error})") from error
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise UserError(f"{file}: lacks {', '.join(lacking)}; a file holds {', '.join(COLUMNS)}")
    raw = np.asarray(columns.pop("feature"))
    if raw.dtype.kind not in "fiu":
        raise UserError(f"{file}: feature must be numbers, and is of the type {raw.dtype}")
    feature = raw.astype(np.float32)
    if feature.ndim != 2 or any(np.shape(column) != (len(feature),) for column in columns.values()):
        sizes = ", ".join(f"{name} {np.shape(column)}" for name, column in columns.items())
        raise UserError(f"{file}: feature {feature.shape} must be (N, D) and the rest (N,): {sizes}")
    if not len(feature):
        raise UserError(f"{file}: holds no row")
    if not np.isfinite(feature).all():
        raise UserError(
            f"{file}: feature row {int(np.flatnonzero(~np.isfinite(feature).all(axis=1))[0])} is not finite"
        )
    whole_numbers = {name: _whole_numbers(columns[name], f"{file}: {name}") for name in ("pid", "camid")}
    return feature, pd.DataFrame({**whole_numbers, "tracklet": columns["tracklet"].astype(str)})


def _whole_numbers(values: np.ndarray, source: str) -> np.ndarray:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{source} must be whole numbers, and {values[0]!r} is none") from None
    wrong = np.flatnonzero((numbers % 1 != 0) | (np.abs(numbers) >= 2**63))  # of a NaN or an infinity the rest is NaN
    if len(wrong):
        raise UserError(f"{source} must be whole numbers, and row {wrong[0]} has {values[wrong[0]]}")
    return values.astype(np.int64)


def score_files(query: Path, gallery: Path, method: str, dataset: str, metric: str, place: Path) -> Record:
    """A record of features in two files, under every protocol; the digests are the files'.

    Raises:
        UserError: a file that `read_features` refuses, two that do not fit, or no query with a match.
    """
    for option, name in (("--method", method), ("--dataset", dataset)):
        if not 0 < len(name) <= LONGEST or not name.isprintable():
            raise UserError(
                f"{option} {name[:LONGEST]!r}: 1 to {LONGEST} printable characters, as they stand in tables"
            )
    clock = Clock()
    (query_features, queries), (gallery_features, others) = read_features(query), read_features(gallery)
    if query_features.shape[1] != gallery_features.shape[1]:
        raise UserError(
            f"{gallery}: features of length {gallery_features.shape[1]}, {query} has {query_features.shape[1]}"
        )
    data = f"{file_digest(query)[:32]}{file_digest(gallery)[:32]}"
    experiment = Experiment(method, dataset, dataset, {"metric": metric}, 0, 0, data, data, "none", recipe=EXTERNAL)
    distances = FeatureDistances(query_features, gallery_features, fixed_metric(metric))
    rankings = rank_tracklets(distances, queries, others, _protocols(dataset))
    clock.lap("evaluate", len(queries) + len(others))
    rows, per_query = tabulate_rankings({"before": rankings}, queries)
    if not any(row["queries"] for row in rows):
        raise UserError(f"{query}: no query has a match in {gallery}, a row of the same pid and another camid")
    record = new_record(experiment, rows, clock)
    folder = RunFolder(place / experiment.name)
    with folder.lock():
        records.begin(folder, experiment, record["code"])
        records.write(folder, record, per_query)
    return record


def _protocols(dataset: str) -> tuple[str, ...]:
    """All, those of the data set first where its name is one that is known."""
    try:
        own = find_dataset(dataset).protocols
    except UserError:
        own = ()
    return tuple(dict.fromkeys((*own, *PROTOCOLS)))


def export_features(source: RunFolder, record: Record, data: LoadedDataset, to: Path, machine: Machine) -> list[Path]:
    """The features of a finished run, before batch normalisation, as NAME-query.npz and NAME-gallery.npz."""
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: not a folder; name one, which need not be there")
    model, settings = trained_model(source, record, machine)
    experiment = records.experiment_of(record)
    flow = flow_for(experiment.method, data, settings, machine)
    written = []
    for subset, tracklets in zip(("query", "gallery"), test_tracklets(data), strict=True):
        progress = partial(machine.report, subset, note=data.name)
        features = extract(model, tracklets, data.store, settings, machine.workers, progress, experiment.seed, flow)
        file = to / f"{record['name']}-{subset}.npz"
        to.mkdir(parents=True, exist_ok=True)
        names = np.array(list(tracklets.tracklet), dtype=np.str_)
        np.savez(file, feature=features.before, pid=tracklets.pid, camid=tracklets.camid, tracklet=names)
        written.append(file)
    return written

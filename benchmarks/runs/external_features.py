"""Features or distances of other code become a normal record.

A file of features holds one subset: `feature` (N, D), `pid` (N,), `camid` (N,), `tracklet` (N,) as npz arrays or parquet columns.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from baselines.backbones.weights import file_digest
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.data import DATASETS, JUNK, imported_datasets
from benchmarks.data.find import find_dataset, find_known
from benchmarks.data.loading import known_digests, load, why_unavailable
from benchmarks.engine.scoring import rank_tracklets, tabulate_rankings
from benchmarks.evaluation.distances import Distances, FeatureDistances, MatrixDistances
from benchmarks.evaluation.metrics import fixed_metric
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.experiments.experiment import EXTERNAL, Experiment
from benchmarks.parsing import one_line

from .cost import Clock, new_record
from .field_types import check_name
from .folder import RunFolder
from .record import Record
from .store import write_record
from .unfinished import start_run

LABELS = ("pid", "camid", "tracklet")
COLUMNS = ("feature", *LABELS)
LONGEST_NAME = 60  # bytes, so that tables and the name of a folder have room for it


@contextmanager
def _reading(file: Path, kinds: str) -> Iterator[None]:
    """A missing file, and whatever else a reader raises, as a UserError; `kinds` names the formats that are read."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench score --help` describes its format") from None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{file}: cannot be read as {kinds} ({one_line(error)})") from error


def _read_arrays(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """The named arrays of an npz file."""
    with np.load(file, allow_pickle=False) as arrays:
        _check_complete(file, arrays, names)
        return {name: arrays[name] for name in names}


def _check_complete(file: Path, found: Iterable[str], names: Sequence[str]) -> None:
    held = sorted(found)
    if lacking := [name for name in names if name not in held]:
        others = ", ".join(name for name in held if name not in names)
        has = f"; it has {one_line(others)} instead" if others else ""
        raise UserError(f"{file}: lacks {', '.join(lacking)}{has}; a file holds {', '.join(names)}")


def read_features(file: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) float32 and a table of pid, camid, tracklet.

    Raises:
        UserError: not npz or parquet, a missing column, lengths that differ, no row, features of length 0, a feature that is
            not finite, a pid or camid that is not a whole number, or a tracklet that appears twice.
    """
    with _reading(file, "npz or parquet"):
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file)
            _check_complete(file, frame, COLUMNS)
            columns: dict[str, Any] = {name: frame[name].to_numpy() for name in COLUMNS}
            columns["feature"] = np.stack(columns["feature"])
        else:
            columns = _read_arrays(file, COLUMNS)
        return _checked_feature(columns.pop("feature"), columns, file), _labels(columns, file)


def _checked_feature(raw: Any, labels: Mapping[str, np.ndarray], file: Path) -> np.ndarray:
    """The features (N, D) as float32, which has no larger numbers than 3.4e38."""
    raw = np.asarray(raw)
    if raw.dtype.kind not in "fiu":
        raise UserError(f"{file}: feature must be numeric, not {raw.dtype}")
    with np.errstate(over="ignore"):
        feature = raw.astype(np.float32)
    if feature.ndim != 2 or any(np.shape(column) != (len(feature),) for column in labels.values()):
        sizes = ", ".join(f"{name} {np.shape(column)}" for name, column in labels.items())
        raise UserError(f"{file}: feature {feature.shape} must be (N, D) and the rest (N,): {sizes}")
    if not feature.size:
        raise UserError(
            f"{file}: has no {'rows' if len(feature) == 0 else 'numbers in its features'}; extract them again"
        )
    if not np.isfinite(feature).all():
        raise UserError(
            f"{file}: feature row {int(np.flatnonzero(~np.isfinite(feature).all(axis=1))[0])} is not finite in float32"
        )
    return feature


def _labels(columns: Mapping[str, np.ndarray], file: Path, side: str = "") -> pd.DataFrame:
    """The table of pid, camid and tracklet, from the columns whose names begin with `side`."""
    numbers = {name: _whole_numbers(columns[f"{side}{name}"], f"{file}: {side}{name}") for name in ("pid", "camid")}
    table = pd.DataFrame({**numbers, "tracklet": columns[f"{side}tracklet"].astype(str)})
    twice = table.tracklet[table.tracklet.duplicated()]
    if len(twice):
        raise UserError(
            f"{file}: tracklet {twice.iloc[0]!r} appears twice; give each tracklet one row and its own name"
        )
    return table


def _is_whole(value: Any) -> bool:
    try:
        return int(value) == float(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _whole_numbers(values: np.ndarray, source: str) -> np.ndarray:
    truths = values.dtype.kind == "O" and any(isinstance(value, bool) for value in values)
    if values.dtype.kind in "bcmM" or truths:  # numpy would take true for 1, and a date for its nanoseconds
        raise UserError(f"{source} must be whole numbers, not {'bool' if truths else values.dtype}")
    limit = 2.0 ** (np.finfo(values.dtype).nmant + 1) if values.dtype.kind == "f" else 2.0**63
    try:
        numbers = values.astype(np.float64)
        # The remainder of NaN or infinity is NaN, which differs from 0.
        wrong = np.flatnonzero((numbers % 1 != 0) | (np.abs(numbers) >= limit))
        if not len(wrong):
            return values.astype(np.int64)  # of a text such as "1.0", this is a ValueError
    except (TypeError, ValueError):
        first = next((value for value in values.tolist() if not _is_whole(value)), values.tolist()[0])
        raise UserError(f"{source} must be whole numbers, not {first!r}") from None
    value = values[wrong[0]]
    if numbers[wrong[0]] % 1 == 0 and values.dtype.kind == "f":
        raise UserError(
            f"{source} must be integers, because {values.dtype} cannot hold every whole number as large as {value:.0f}"
        )
    raise UserError(f"{source} must be whole numbers, but row {wrong[0]} has {value}")


class Result(NamedTuple):
    """What other code computed: distances, the queries and the gallery (pid, camid, tracklet), and the names and digest of the
    files."""

    distances: Distances
    queries: pd.DataFrame
    gallery: pd.DataFrame
    files: tuple[Path, ...]
    digest: str


def read_results(
    queries: Sequence[Path], galleries: Sequence[Path], distances: Sequence[Path], metric: str | None
) -> tuple[list[Result], dict[str, str]]:
    """The results of files with features or with distances, and the settings of their record.

    Raises:
        UserError: files that cannot be read, do not fit or are missing.
    """
    if bool(distances) == bool(queries or galleries):
        raise UserError("bench score: give --query FILE and --gallery FILE, or --distances FILE")
    if distances:
        if metric is not None:
            raise UserError(f"--metric {metric}: applies to features only; omit it")
        return [read_distances(file) for file in distances], {"given": "distances"}
    if len(queries) != len(galleries):
        raise UserError(
            f"--gallery: {len(galleries)} given for {len(queries)} --query; give one for each, in the same order"
        )
    metric = metric or "euclidean"
    return [_compare(*files, metric) for files in zip(queries, galleries, strict=True)], {"metric": metric}


def _compare(query: Path, gallery: Path, metric: str) -> Result:
    (query_features, queries), (gallery_features, others) = read_features(query), read_features(gallery)
    if query_features.shape[1] != gallery_features.shape[1]:
        raise UserError(
            f"{gallery}: features of length {gallery_features.shape[1]}, {query} has {query_features.shape[1]}"
        )
    _warn_of_ties(gallery_features, gallery)
    distances = FeatureDistances(query_features, gallery_features, fixed_metric(metric))
    digest = f"{file_digest(query)[:32]}{file_digest(gallery)[:32]}"
    return Result(distances, queries, others, (query, gallery), digest)


def read_distances(file: Path) -> Result:
    """Distances of Q queries to G gallery tracklets from an npz file.

    Its arrays are distances (Q, G), and for each side SIDE, query or gallery: SIDE_pid, SIDE_camid and SIDE_tracklet.

    Raises:
        UserError: not npz, a missing array, shapes that differ, no row, NaN, a pid or camid that is not a whole number,
            or a tracklet that appears twice.
    """
    names = ["distances", *(f"{side}_{column}" for side in ("query", "gallery") for column in LABELS)]
    with _reading(file, "npz"):
        found = _read_arrays(file, names)
        matrix = found["distances"]
        for axis, side in enumerate(("query", "gallery")):
            for column in LABELS:
                shape = found[f"{side}_{column}"].shape
                if matrix.ndim != 2 or not matrix.size or shape != matrix.shape[axis : axis + 1]:
                    raise UserError(f"{file}: distances {matrix.shape} must be (Q, G), and {side}_{column} not {shape}")
        if matrix.dtype.kind not in "fiu" or np.isnan(matrix).any():
            raise UserError(f"{file}: distances must be numbers, without NaN")
        queries, others = (_labels(found, file, f"{side}_") for side in ("query", "gallery"))
    return Result(MatrixDistances(matrix), queries, others, (file,), file_digest(file))


def score_files(
    results: Sequence[Result],
    settings: dict[str, str],
    method: str,
    dataset: str,
    results_dir: Path,
    seed: int = 0,
    split: int = 0,
) -> list[Record]:
    """The records of results of one method, under every protocol for which the distances suffice.

    Distances of a matrix are those to the gallery, so that no protocol with the queries in the gallery applies to them.

    Args:
        results, settings: as `read_results` gives them.
        method, dataset: their names in tables.
        seed: of the first result; that of each further one is higher by 1.
        split: the train/test split of the data set.

    Raises:
        UserError: a bad name, or no query with a match. Then no record is written.
    """
    _check_label("--method", method)
    _check_label("--dataset", dataset)
    _warn_of_unknown(dataset)
    scored = [
        _score(result, settings, method, dataset, number, split) for number, result in enumerate(results, start=seed)
    ]
    for record, per_query in scored:
        folder = RunFolder(results_dir / record.name)
        with folder.lock():
            start_run(folder, record.experiment, record.code)
            write_record(folder, record, per_query)
    return [record for record, _ in scored]


def _score(
    result: Result, settings: dict[str, str], method: str, dataset: str, seed: int, split: int
) -> tuple[Record, pd.DataFrame]:
    clock = Clock()
    protocols = _protocols(dataset)
    if isinstance(result.distances, MatrixDistances):
        protocols = tuple(name for name in protocols if not PROTOCOLS[name].queries_in_gallery)
    rankings = rank_tracklets(result.distances, result.queries, result.gallery, protocols)
    clock.lap("evaluate", len(result.queries) + len(result.gallery))
    metrics, per_query = tabulate_rankings({"before": rankings}, result.queries)
    if not any(row.queries for row in metrics):
        gallery = f" in {result.files[1]}" if result.files[1:] else ""
        raise UserError(f"{result.files[0]}: no query has a match{gallery}: a row with the same pid and another camid")
    data = _data_digest(result, dataset, split)
    experiment = Experiment(
        method,
        dataset,
        dataset,
        settings,
        seed,
        split,
        data,
        data,
        result.digest,
        recipe=EXTERNAL,
        test_split=split,
    )
    return new_record(experiment, metrics, clock), per_query


def _data_digest(result: Result, dataset: str, split: int) -> str:
    """The digest of the data set's split if its tracklets are those of the result, so that `bench compare` can pair them with
    runs; else a sha256 of who is on both sides of the result, in any order.

    Raises:
        UserError: the data set is on this machine, and other people are in its queries or gallery.
    """
    sides = {"query": result.queries, "gallery": result.gallery}
    lines = [f"{side}|{row}\n" for side, table in sides.items() for row in _names(table)]
    own = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    if find_known(dataset) is None or not known_digests(dataset, split) or why_unavailable(dataset):
        return own
    data, same = load(dataset, split), True
    for (side, given), file in zip(sides.items(), (result.files[0], result.files[-1]), strict=True):
        wanted = data.table[data.table.subset == side]
        here, there = (table[table.pid != JUNK] for table in (given, wanted))
        if Counter(zip(here.pid, here.camid, strict=True)) != Counter(zip(there.pid, there.camid, strict=True)):
            raise UserError(
                f"{file}: not the {side} tracklets of {dataset}, split {split}: {len(here):,} in place of {len(there):,}, or "
                "of other people or cameras; correct the file, --split or --dataset"
            )
        same &= sorted(_names(here)) == sorted(_names(there))
    return data.digest if same else own


def _names(tracklets: pd.DataFrame) -> list[str]:
    return [f"{row.pid}|{row.camid}|{row.tracklet}" for row in tracklets.itertuples()]


def _warn_of_unknown(dataset: str) -> None:
    """Say on stderr that a name is close to that of a data set, and may be misspelt."""
    known = [*DATASETS.names(), *imported_datasets()]
    meant = nearest(dataset, known)
    if find_known(dataset) is None and meant.startswith("did you mean"):
        print(f"bench: --dataset {dataset}: no such data set is known here; {meant}", file=sys.stderr)


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

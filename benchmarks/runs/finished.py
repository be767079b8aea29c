"""Finished runs as reporting reads them: from the folder of runs, or from a file of `bench records export`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.experiments.experiment import Experiment

from . import exchange, records
from .records import Record, RunFolder

TEST_TO_TRAIN = 1.0  # of iLIDS-VID and PRID-2011, half for test in each split


@dataclass(frozen=True)
class Found:
    """One finished run.

    Attributes:
        folder: where it lies; None of a run in an exported file, which has neither curves nor weights.
        rows: its results a query where they came in an exported file.
    """

    record: Record
    folder: RunFolder | None = None
    rows: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def experiment(self) -> Experiment:
        return records.experiment_of(self.record)

    def queries(self, protocol: str | None = None, feature: str = "before") -> pd.DataFrame:
        """Results a query under one protocol (None: the data set's first): query, pid, camid, average_precision,
        first_hit_rank."""
        protocol = protocol or first_protocol(self.record)
        file = self._file
        if file is None:
            return _of(self.all_queries(), protocol, feature)
        return _read_of(file, file.stat().st_mtime_ns, protocol, feature)

    def curves(self) -> pd.DataFrame:
        """Means of the loss terms, a row an epoch; empty where none were kept."""
        if self.folder is None or not self.folder.curves.exists():
            return pd.DataFrame()
        return pd.DataFrame([json.loads(line) for line in self.folder.curves.read_text().splitlines()])

    def all_queries(self) -> pd.DataFrame:
        """Results a query under every protocol, by its columns `protocol` and `feature`."""
        if self.rows is not None:
            return self.rows
        file = self._file
        if file is None:
            columns = ["protocol", "feature", "query", "pid", "camid", "average_precision", "first_hit_rank"]
            return pd.DataFrame(columns=pd.Index(columns))
        return _read(file, file.stat().st_mtime_ns)

    @property
    def _file(self) -> Path | None:
        """Where the results a query lie, if they did not come along and were kept."""
        if self.rows is not None or self.folder is None or not self.folder.queries.exists():
            return None
        return self.folder.queries


@lru_cache(maxsize=64)  # a run is asked for several times in a row
def _read(file: Path, changed: int) -> pd.DataFrame:  # noqa: ARG001 - another time of change is another table
    return pd.read_parquet(file)


@lru_cache(maxsize=1024)  # and again by each table and figure of a report
def _read_of(file: Path, changed: int, protocol: str, feature: str) -> pd.DataFrame:
    return _of(_read(file, changed), protocol, feature)


def _of(rows: pd.DataFrame, protocol: str, feature: str) -> pd.DataFrame:
    return rows[(rows.protocol == protocol) & (rows.feature == feature)].reset_index(drop=True)


def first_protocol(record: Record) -> str:
    """The data set's default protocol."""
    return str(record["metrics"][0]["protocol"])


def varied(runs: Sequence[Found]) -> tuple[str, int]:
    """What it is that runs of one method are repeated over, "split" where there are several or else "seed", and how many."""
    splits = {run.experiment.split for run in runs}
    return ("split", len(splits)) if len(splits) > 1 else ("seed", len(runs))


def by_split(figures: np.ndarray, runs: Sequence[Found]) -> np.ndarray:
    """(J,) means over the seeds of each split, of a figure a run."""
    splits = np.array([run.experiment.split for run in runs])
    return np.array([figures[splits == split].mean() for split in np.unique(splits)])


def below(place: Path) -> list[Found]:
    """Every finished run in the folder of runs."""
    return [Found(record, RunFolder(place / record["name"])) for record in records.finished(place)]


def in_file(file: Path) -> list[Found]:
    """The runs in a file that `bench records export` wrote.

    Raises:
        UserError: not such a file.
    """
    return [Found(record, rows=rows) for record, rows in exchange.with_queries(file)]


def fractions(runs: Sequence[Found], metric: str, protocol: str | None) -> tuple[np.ndarray, np.ndarray]:
    """As `matrix`: average precision ("mAP"), or whether the first is right ("R1")."""
    if metric == "mAP":
        return matrix(runs, "average_precision", protocol)
    first, pids = matrix(runs, "first_hit_rank", protocol)
    return np.where(np.isnan(first), np.nan, first == 1), pids


def matrix(runs: Sequence[Found], column: str, protocol: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """One column of the results a query as (S, Q), a row a run, and whose query each is, (Q,): what `statistics` takes.

    NaN where a query has no match, or is of another split. Empty where a run has no results a query.
    """
    found = [run.queries(protocol) for run in runs]
    if not found or any(rows.empty for rows in found):
        return np.empty((len(runs), 0)), np.empty(0, np.int64)
    splits = [run.record["experiment"]["test_split"] for run in runs]
    if len(set(splits)) == 1 and all(
        rows["query"].equals(found[0]["query"]) for rows in found
    ):  # as is usual, and quick
        return np.stack([rows[column].to_numpy(float) for rows in found]), found[0].pid.to_numpy()
    tables = [
        rows.assign(split=split).set_index(["split", "query"])[["pid", column]]
        for rows, split in zip(found, splits, strict=True)
    ]
    together = pd.concat([table[column] for table in tables], axis=1)
    pids = pd.concat([table.pid for table in tables]).groupby(level=[0, 1]).first()
    return together.to_numpy(float).T, pids.loc[together.index].to_numpy()

"""Finished runs as reporting reads them: from the results directory, or from a file of `bench records export`."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import Experiment

from .exchange import exported_runs
from .folder import RunFolder
from .metrics import QUERY_COLUMNS
from .record import Record
from .store import read_finished

NO_QUERIES = pd.DataFrame(columns=pd.Index(QUERY_COLUMNS))


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Attributes:
        folder: None for a run from an exported file, which has neither curves nor weights.
        rows: the results of its queries, if they come from an exported file.
    """

    record: Record
    folder: RunFolder | None = None
    rows: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def experiment(self) -> Experiment:
        return self.record.experiment

    def queries(self, protocol: str | None = None, feature: str = "before") -> pd.DataFrame:
        """The results of each query under one protocol: query, pid, camid, average_precision, first_hit_rank.

        Args:
            protocol: None is the data set's first.

        Raises:
            UserError: the file of results is damaged.
        """
        protocol = protocol or self.record.first_protocol
        file = self._file
        if file is None:
            return _select(self.all_queries(), protocol, feature)
        return _read_selected(file, file.stat().st_mtime_ns, protocol, feature)

    def all_queries(self) -> pd.DataFrame:
        """The results of each query under every protocol, told apart by the columns `protocol` and `feature`.

        Raises:
            UserError: the file of results is damaged.
        """
        if self.rows is not None:
            return self.rows
        file = self._file
        return NO_QUERIES if file is None else _read(file, file.stat().st_mtime_ns)

    def curves(self) -> pd.DataFrame:
        """Means of the loss terms, one row per epoch; empty if none were stored."""
        if self.folder is None or not self.folder.curves.exists():
            return pd.DataFrame()
        return pd.DataFrame([json.loads(line) for line in self.folder.curves.read_text().splitlines()])

    @property
    def _file(self) -> Path | None:
        """The file with the results of the queries, if there is one."""
        if self.rows is not None or self.folder is None or not self.folder.queries.exists():
            return None
        return self.folder.queries


@lru_cache(maxsize=64)  # a run is read several times in a row
def _read(file: Path, changed: int) -> pd.DataFrame:  # noqa: ARG001 - a file that was changed is read again
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: damaged ({type(error).__name__}); --fresh runs it again") from error
    if table.empty:
        return NO_QUERIES
    if missing := [name for name in QUERY_COLUMNS if name not in table]:
        raise UserError(f"{file}: has no column {missing[0]}; --fresh runs it again")
    return table


@lru_cache(maxsize=1024)  # and by each table and figure of a report
def _read_selected(file: Path, changed: int, protocol: str, feature: str) -> pd.DataFrame:
    return _select(_read(file, changed), protocol, feature)


def _select(rows: pd.DataFrame, protocol: str, feature: str) -> pd.DataFrame:
    return rows[(rows.protocol == protocol) & (rows.feature == feature)].reset_index(drop=True)


def finished_runs(results_dir: Path) -> list[FinishedRun]:
    """Every finished run in the results directory, by name. A damaged record is left out, with a line on stderr."""
    return [FinishedRun(record, folder) for folder, record in read_finished(results_dir)]


def runs_in_file(file: Path) -> list[FinishedRun]:
    """The runs in a file that `bench records export` wrote. A damaged record is left out, with a line on stderr.

    Raises:
        UserError: not such a file.
    """
    return [FinishedRun(record, rows=queries) for record, queries in exported_runs(file)]

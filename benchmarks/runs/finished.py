"""Finished runs as reporting reads them: from the results directory, or from a file of `bench records export`."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.experiments.experiment import Experiment
from benchmarks.parsing import parse_json

from .exchange import exported_runs
from .folder import RunFolder, text_of
from .query_file import NO_QUERIES, read_queries
from .record import Record
from .store import leave_out, read_finished


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

        Empty if they are damaged, with a line on stderr.

        Args:
            protocol: None is the data set's first.
        """
        protocol = protocol or self.record.first_protocol
        if self.folder is None or self.rows is not None:
            return _select(self.all_queries(), protocol, feature)
        return _read_selected(self.folder.queries, _changed(self.folder.queries), protocol, feature)

    def all_queries(self) -> pd.DataFrame:
        """The results of each query under every protocol, told apart by the columns `protocol` and `feature`.

        Empty if they are damaged, with a line on stderr.
        """
        if self.rows is not None:
            return self.rows
        return NO_QUERIES if self.folder is None else _read(self.folder.queries, _changed(self.folder.queries))

    def curves(self) -> pd.DataFrame:
        """Means of the loss terms, one row per epoch; empty if none were stored, or, with a line on stderr, if damaged."""
        if self.folder is None:
            return pd.DataFrame()
        try:
            return _curves(text_of(self.folder.curves), self.folder.curves)
        except UserError as error:
            leave_out(error)
            return pd.DataFrame()


def _curves(text: str, file: Path) -> pd.DataFrame:
    rows = [parse_json(line, file) for line in text.splitlines()]
    try:
        curves = pd.DataFrame([{key: float(value) for key, value in row.items()} for row in rows])
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise UserError(f"{file}: not numbers by name; --fresh makes it again") from None
    if len(curves) and ("epoch" not in curves or curves.epoch.isna().any()):
        raise UserError(f"{file}: has a line without its epoch; --fresh makes it again")
    return curves


def _changed(file: Path) -> int:
    """When a file was changed last, in nanoseconds; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@lru_cache(maxsize=64)  # a run is read several times in a row
def _read(file: Path, changed: int) -> pd.DataFrame:
    """The results in a file, which is read again after it was changed, and whose damage is reported once."""
    if not changed:
        return NO_QUERIES
    try:
        return read_queries(file)
    except UserError as error:
        leave_out(error)
        return NO_QUERIES


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

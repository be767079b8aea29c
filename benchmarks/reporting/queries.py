"""Results a query, out of records and into arrays for the statistics."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.records import Record, RunFolder

METRICS = ("mAP", "R1")


class Results:
    """Where results a query lie: folders of runs, or files of `bench records export`. What was read is kept."""

    def __init__(self, *sources: Path) -> None:
        self.sources = sources
        self._kept: dict[str, pd.DataFrame] = {}

    def of(self, record: Record) -> pd.DataFrame:
        """The rows of one run: protocol, feature, query, pid, camid, average_precision, first_hit_rank."""
        name = str(record["name"])
        if not self._kept:
            for file in filter(Path.is_file, self.sources):
                everything = pq.read_table(file).to_pandas()
                self._kept |= {str(run): rows for run, rows in everything.groupby("run")}
        if name not in self._kept:
            folders = (RunFolder(source / name) for source in self.sources)
            self._kept[name] = pd.read_parquet(next(each.queries for each in folders if each.queries.exists()))
        return self._kept[name]


def values(
    runs: Sequence[Record], results: Results, metric: str, protocol: str, feature: str = "before"
) -> tuple[np.ndarray, np.ndarray]:
    """(S, Q) fractions, a row a run and a column a query, as `statistics` takes them, and (Q,) pids.

    Over several splits a column is a query that some split asks; it is NaN in the others.

    Args:
        metric: "mAP" (average precision a query) or "R1" (whether the first is right).
    """
    columns = []
    for run, record in enumerate(runs):
        rows = results.of(record)
        rows = rows[(rows.protocol == protocol) & (rows.feature == feature)]
        hits = rows.average_precision
        if metric == "R1":
            hits = (rows.first_hit_rank == 1).astype(float).where(rows.first_hit_rank.notna())
        columns.append(pd.Series(hits.to_numpy(), index=pd.MultiIndex.from_arrays([rows.pid, rows["query"]]), name=run))
    table = pd.concat(columns, axis=1).sort_index()
    return table.to_numpy().T, table.index.get_level_values(0).to_numpy()

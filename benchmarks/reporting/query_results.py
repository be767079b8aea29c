"""The results of each query over several runs, as the arrays that `statistics` takes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.experiments.methods import baseline
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import Claim

TEST_TO_TRAIN = 1.0  # of iLIDS-VID and PRID-2011: each split tests on half of the people


def fraction_matrix(runs: Sequence[FinishedRun], metric: str, protocol: str | None) -> tuple[np.ndarray, np.ndarray]:
    """As `query_matrix`: the average precision ("mAP"), or whether the first rank is a hit ("R1")."""
    if metric == "mAP":
        return query_matrix(runs, "average_precision", protocol)
    first, pids = query_matrix(runs, "first_hit_rank", protocol)
    return np.where(np.isnan(first), np.nan, first == 1), pids


def query_matrix(
    runs: Sequence[FinishedRun], column: str, protocol: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One column of the results as (S, Q), a row for each run, and the pid of each query, (Q,).

    NaN where a query has no match, or is of another split. Empty where a run has no results.
    """
    tables = [run.queries(protocol) for run in runs]
    if not tables or any(table.empty for table in tables):
        return np.empty((len(runs), 0)), np.empty(0, np.int64)
    splits = [run.experiment.test_split for run in runs]
    first = tables[0]
    if len(set(splits)) == 1 and all(table["query"].equals(first["query"]) for table in tables):  # usual, and fast
        return np.stack([table[column].to_numpy(float) for table in tables]), first.pid.to_numpy()
    indexed = [
        table.assign(split=split).set_index(["split", "query"])[["pid", column]]
        for table, split in zip(tables, splits, strict=True)
    ]
    values = pd.concat([table[column] for table in indexed], axis=1)
    pids = pd.concat([table.pid for table in indexed]).groupby(level=[0, 1]).first()
    return values.to_numpy(float).T, pids.loc[values.index].to_numpy()


def repetition(runs: Sequence[FinishedRun]) -> tuple[str, int]:
    """What the runs of one method are repeated over, "split" where there are several or else "seed", and how often."""
    splits = {run.experiment.split for run in runs}
    return ("split", len(splits)) if len(splits) > 1 else ("seed", len(runs))


def split_means(figures: np.ndarray, runs: Sequence[FinishedRun]) -> np.ndarray:
    """(J,) means over the seeds of each split, of (S,) figures of the runs."""
    splits = np.array([run.experiment.split for run in runs])
    return np.array([figures[splits == split].mean() for split in np.unique(splits)])


def seed_blocks(claim: Claim, arms: Sequence[Sequence[FinishedRun]], tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each baseline of a claim the (J, S) weighted sums of its arms' figures, by split and seed: as `over_seeds` takes them.

    Args:
        arms: the runs of each arm, paired by seed and split, with as many seeds in each split.
        tables: the (S, Q) results of their queries.
    """
    order = np.lexsort([[getattr(run.experiment, key) for run in arms[0]] for key in ("seed", "split")])
    splits = len({run.experiment.split for run in arms[0]})
    sums: dict[str, np.ndarray] = {}
    for arm, table in zip(claim.arms, tables, strict=True):
        figures = arm.weight * np.nanmean(table, axis=1)[order].reshape(splits, -1)
        sums[baseline(arm.method)] = sums.get(baseline(arm.method), 0) + figures
    return list(sums.values())

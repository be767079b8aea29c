"""Whether a run has learned anything: its losses, and its R1 against that of a random order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.loading import LoadedDataset

from .finished import FinishedRun

FLAT = 0.01  # a loss that falls by a smaller share from the first epoch to the last is flat
FEWEST_QUERIES = 20  # of fewer, R1 is too rough to be compared with chance


def chance_of_rank1(queries: pd.DataFrame, gallery: pd.DataFrame) -> tuple[float, int]:
    """The expected R1, in [0, 1], where the gallery comes in random order, and the number of queries with a match.

    Tracklets of the query's person in the query's camera do not count.
    """
    hits, candidates = [], []
    for (pid, camid), count in queries.groupby(["pid", "camid"]).size().items():
        same_person = gallery.pid == pid
        junk = int((same_person & (gallery.camid == camid)).sum())
        if matches := int(same_person.sum()) - junk:
            hits += [matches] * count
            candidates += [len(gallery) - junk] * count
    return (float(np.mean(np.divide(hits, candidates))), len(hits)) if hits else (0.0, 0)


def learned_nothing(losses: Sequence[float], rank1: float | None, chance: float, queries: int) -> str | None:
    """Why a run seems to have learned nothing, in a line; None if it has learned something.

    Args:
        losses: the mean of the loss in each epoch.
        rank1: in [0, 1]; None if unknown.
        chance: the expected R1 of a random order, in [0, 1].
        queries: the number of queries in both.
    """
    spread = 2 * np.sqrt(chance * (1 - chance) / max(queries, 1))
    flat = len(losses) > 1 and losses[-1] >= losses[0] - FLAT * abs(losses[0])
    at_chance = rank1 is not None and queries >= FEWEST_QUERIES and rank1 <= chance + spread
    if not losses or not (flat or at_chance):
        return None
    reasons = [f"the loss was {losses[0]:.4g} in the first epoch and {losses[-1]:.4g} in the last"] if flat else []
    if rank1 is not None and queries:
        reasons.append(f"R1 is {100 * rank1:.1f}, and {100 * chance:.1f} by chance")
    return f"learned nothing: {'; '.join(reasons)}; try another lr (--set lr=...), and check the weights and the labels"


def check_learned(run: FinishedRun, data: LoadedDataset) -> str | None:
    """As `learned_nothing`, for a run that was tested on `data`. None without its curves."""
    curves = run.curves()
    if "loss" not in curves:
        return None
    metrics = run.record.find_metrics(run.record.first_protocol, "before")
    return learned_nothing(
        curves["loss"].tolist(), metrics.R1 if metrics else None, *chance_of_rank1(*test_tracklets(data))
    )

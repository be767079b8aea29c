"""Select the tracklets for training, holdout and test."""

import numpy as np
import pandas as pd

from benchmarks.data import JUNK
from benchmarks.data.loading import LoadedDataset
from benchmarks.experiments.settings import Settings
from benchmarks.seeds import generator


def hold_out(data: LoadedDataset, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The training tracklets, and those of the held-out share of TRAINING identities, which is the same for every seed."""
    training = data.table[data.table.subset == "train"]
    if settings.holdout == 0:
        return training, None
    pids = np.unique(training.pid)
    count = max(1, round(settings.holdout * len(pids)))
    held = generator("holdout", data.name, data.split).permutation(pids)[:count]
    inside = training.pid.isin(held)
    return training[~inside], training[inside]


def test_tracklets(data: LoadedDataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Query and gallery tracklets, without junk, which no protocol scores."""
    queries = data.table[data.table.subset == "query"]
    gallery = data.table[(data.table.subset == "gallery") & (data.table.pid != JUNK)]
    return queries, gallery

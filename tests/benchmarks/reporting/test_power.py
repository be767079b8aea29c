"""The smallest difference that a suite can show, before and after a pilot."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting.power import detectable
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Metrics
from benchmarks.scheduling.states import DONE, State
from benchmarks.suites.suite import Choice, Row, Suite, experiments


class Two(Suite):
    """Two methods."""

    def rows(self, dataset):
        return (Row("a", "mean"), Row("b", "qan"))


@pytest.fixture
def said(results, make_record):
    """The lines for a data set, after runs whose mAP is `figure(method, seed, split)`, the same for each query."""

    def call(dataset, seeds, figure):
        choice = Choice((dataset,), seeds=seeds)
        planned = list(experiments(Two(), choice))
        for each in planned:
            experiment = each.experiment
            pids = np.arange(4)
            folder = RunFolder(results / experiment.name)
            folder.path.mkdir(parents=True)
            value = figure(experiment.method, experiment.seed, experiment.split)
            columns = {"protocol": "standard", "feature": "before", "query": [f"q{pid}" for pid in pids], "pid": pids}
            columns |= {"camid": 1, "average_precision": value, "first_hit_rank": 1.0}
            pd.DataFrame(columns).to_parquet(folder.queries)
        metrics = [Metrics("standard", "before", 0.5, 0.5, 1.0, 1.0, 1.0, 4, 0)]
        made = [make_record(experiment=each.experiment, metrics=metrics) for each in planned]
        return "\n".join(detectable(Two(), choice, [State(DONE, record=record) for record in made], planned))

    return call


def test_over_splits_by_hand(said):
    drawn = np.random.default_rng(0).normal(0.05, 0.02, 10)
    text = said("ilidsvid", 1, lambda method, seed, split: 0.5 + (method == "qan") * drawn[split])
    # Student's t of 9 degrees of freedom at 5% and 80%, and Nadeau and Bengio's error of the mean of 10 halves.
    least = (2.262157 + 0.883404) * float(np.std(drawn, ddof=1)) * math.sqrt(1 / 10 + 1)
    assert f"with 10 splits a true difference of {100 * least:.1f} points of mAP shows" in text


def test_too_few_seeds_show_nothing(said):
    text = said("dukev", 2, lambda method, seed, split: 0.5)
    assert "fewer than 3 seeds cannot show how much methods differ" in text
    assert "a true difference" not in text

"""Finished runs with simulated results in the test's results directory, as a real run would leave them."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import resolve
from benchmarks.reporting.verdict import judge
from benchmarks.runs.find import find_runs
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Metrics, Record
from benchmarks.runs.store import write_record
from benchmarks.runs.unfinished import start_run
from benchmarks.suites.suite import Choice, Row, Suite, experiments


def metrics(queries: pd.DataFrame) -> list[Metrics]:
    rows = []
    for protocol, part in queries.groupby("protocol", sort=False):
        first = part.first_hit_rank.dropna()
        hits = [float((first <= k).mean()) for k in (1, 5, 10, 20)]
        unmatched = len(part) - len(first)
        rows.append(Metrics(protocol, "before", float(part.average_precision.mean()), *hits, len(first), unmatched))
    return rows


@pytest.fixture
def finish(results: Path, make_record: Callable[..., Record]) -> Callable[..., Record]:
    """`finish("mean+afa", seed=1, sigma=0.1, ranks=[1, 3])`: a finished run, its record returned.

    ranks: of the first hits, a query each, two queries a person; by default 20 that are drawn from the seed.
    """

    def make(
        method: str = "mean",
        seed: int = 0,
        dataset: str = "walkers",
        ranks: list[float] | None = None,
        recipe: str = "small",
        **changes: Any,
    ) -> Record:
        draw = np.random.default_rng(seed)
        first = np.array(ranks if ranks is not None else draw.integers(1, 12, 20), dtype=float)
        queries = pd.concat(
            pd.DataFrame(
                {
                    "protocol": protocol, "feature": "before", "query": [f"q{i:03}" for i in range(len(first))],
                    "pid": np.arange(len(first)) // 2, "camid": np.arange(len(first)) % 2,
                    "average_precision": 1 / first, "first_hit_rank": first,
                }
            )
            for protocol in ("official", "standard")
        )  # fmt: skip
        settings = resolve(recipe, method, [f"{key.rstrip('_')}={value}" for key, value in changes.items()])
        experiment = Experiment(
            method, dataset, dataset, settings.recorded(), seed, 0, "d" * 64, "d" * 64, "none", recipe
        )
        record = make_record(experiment=experiment, metrics=metrics(queries))
        folder = RunFolder(results / experiment.name)
        start_run(folder, experiment, "c" * 64)
        folder.curves.write_text(
            "".join(
                json.dumps({"epoch": e, "iteration": 4 * e, "lr": 1e-3, "means_of": 4, "loss": 3 / e + seed}) + "\n"
                for e in (1, 2, 3)
            )
        )
        write_record(folder, record, queries)
        return record

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def committed() -> list[FinishedRun]:
    """The runs of all records in results/measured."""
    files = sorted((Path(__file__).parents[3] / "results" / "measured").glob("*.parquet"))
    return find_runs(files=files)


PEOPLE, EACH = 60, 4


class Few(Suite):
    """The two methods of the first claim, and the constraint's."""

    def rows(self, dataset):
        return (Row("a", "mean"), Row("b", "mean+afa"), Row("c", "mean+afa", ("lambda=0.0",)))


@pytest.fixture
def with_precisions(make_record):
    """As `_with_precisions`."""
    return partial(_with_precisions, make_record)


def _with_precisions(make_record, experiment, pids, precisions):
    """A finished run whose queries, one for each of `pids`, have these average precisions."""
    table = pd.DataFrame(
        {
            "protocol": "official",
            "feature": "before",
            "query": [f"q{number}" for number in range(len(pids))],
            "pid": pids,
            "camid": 1,
            "average_precision": precisions,
            "first_hit_rank": 1.0,
        }
    )
    experiment = replace(experiment, data="d", test_data="d", weights="w")
    return FinishedRun(make_record(experiment=experiment), rows=table)


@pytest.fixture
def world(with_precisions):
    """As `_world`."""
    return partial(_world, with_precisions)


def _world(with_precisions, effects, seeds=3, dataset="mars", suite=Few, changes=(), first_seed=0):
    """Finished runs of methods whose mAP differs from `mean`'s by `effects`, with noise of seeds and people."""
    draw = np.random.default_rng(5)
    pids = np.repeat(np.arange(PEOPLE), EACH)
    people = draw.normal(0.5, 0.1, PEOPLE)[pids]
    found = []
    for planned in experiments(suite(), Choice((dataset,), seeds=seeds, changes=changes, first_seed=first_seed)):
        noise = draw.normal(0, 0.005) + draw.normal(0, 0.02, len(pids))
        found.append(with_precisions(planned.experiment, pids, people + effects[planned.row.label] + noise))
    return found


@pytest.fixture
def judged(world):
    """The claims by their texts, judged by a `world`."""
    return lambda *arguments, **options: {each.claim.text: each for each in judge(world(*arguments, **options))}


@pytest.fixture
def on_splits():
    """`on_splits(runs, 3)`: the runs as if on three splits of a real data set, each of which has a digest of its own."""

    def repeat(runs: list[FinishedRun], splits: int) -> list[FinishedRun]:
        made = []
        for run, split in product(runs, range(splits)):
            digest = f"{split:064x}"
            experiment = replace(run.experiment, split=split, test_split=split, data=digest, test_data=digest)
            record = replace(run.record, experiment=experiment, name=experiment.name)
            made.append(FinishedRun(record, rows=run.all_queries()))
        return made

    return repeat

"""`bench` as a user calls it, in this process."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES
from benchmarks import cli
from benchmarks.data import DATASETS
from benchmarks.experiments.experiment import Experiment
from benchmarks.runs.record import FORMAT, Cost, Environment, Git, Metrics, Phase, Record
from benchmarks.suites import COMPARISONS, SUITES


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch):
    """What a test plugs in is gone after it."""
    for registry in (BASELINES, MATCHERS, BACKBONES, DATASETS, SUITES, COMPARISONS):
        monkeypatch.setattr(registry, "entries", dict(registry.entries))
    yield
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


@pytest.fixture
def bench(_plugins: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Answer]:
    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Answer(status, *capsys.readouterr())

    return call


COST = Cost(1_000_000, 2e8)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """`make_record("mean+afa", seed=1, sigma=0.1)`: a valid record; keywords that are no parameters are settings."""

    def make(
        method: str = "mean",
        dataset: str = "walkers",
        seed: int = 0,
        *,
        experiment: Experiment | None = None,
        recipe: str = "small",
        data: str = "d" * 64,
        code: str = "c" * 64,
        metrics: list[Metrics] | None = None,
        cost: Cost | None = COST,
        phases: dict[str, Phase] | None = None,
        gpu: str | None = None,
        **settings: Any,
    ) -> Record:
        experiment = experiment or Experiment(
            method, dataset, dataset, {"epochs": 40, **settings}, seed, 0, data, data, "none", recipe
        )
        return Record(
            format=FORMAT,
            name=experiment.name,
            experiment=experiment,
            code=code,
            metrics=metrics or [Metrics("official", "before", 0.5, 0.5, 1.0, 1.0, 1.0, 10, 0)],
            cost=cost,
            phases={"train": Phase(60.0, 6000, 100.0)} if phases is None else phases,
            peak_memory={"resident": 2**30},
            environment=Environment(
                2,
                "a processor",
                Git("a" * 40, False),
                gpu,
                {"torch": "2.14.1", "absent": None},
                1,
                "3.11.7",
                "Linux",
                "its model",
                "AVX512",
                {"BLAS": "mkl"},
            ),
            started=datetime(2026, 1, 1, tzinfo=UTC),
            finished=datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
        )

    return make

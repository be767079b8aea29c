"""`bench` as a user calls it, in this process."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES
from benchmarks import cli
from benchmarks.data import DATASETS
from benchmarks.suites import SUITES


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch):
    """What a test plugs in is gone after it."""
    for registry in (BASELINES, MATCHERS, BACKBONES, DATASETS, SUITES):
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

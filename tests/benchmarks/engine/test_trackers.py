"""TensorBoard and Weights & Biases: neither is installed for the tests, so stand-ins note what they are given."""

import importlib
import json
import sys
from types import ModuleType

import pytest

from baselines.interface.errors import UserError
from benchmarks.engine.trackers import make_visualizer
from benchmarks.experiments.settings import resolve
from benchmarks.paths import as_environment
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records

RUN = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", 2, "--set", "holdout=0.5")
WANDB = """
import os
CALLS = []
config = {}


def init(**options):
    CALLS.append(("init", options, os.environ.get("WANDB_MODE")))


def log(values, **options):
    CALLS.append(("log", values))


def finish():
    CALLS.append(("closed",))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Modules of these names, as if packages were installed: (wandb, the calls to TensorBoard)."""
    (tmp_path / "wandb.py").write_text(WANDB)
    (tmp_path / "tensorboard.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    calls = []

    class SummaryWriter:
        def __init__(self, folder):
            calls.append(("folder", folder))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def close(self):
            calls.append(("closed",))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield importlib.import_module("wandb"), calls
    sys.modules.pop("wandb", None)


def test_curves_go_to_both_trackers_offline(bench, results, installed, monkeypatch):
    wandb, board = installed
    monkeypatch.setenv("BENCH_TRACKERS", "tensorboard, wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert as_environment()["BENCH_TRACKERS"] == "tensorboard,wandb"  # jobs have it too
    answer = bench(*RUN, "--set", "validate_every=1")
    assert answer.status == 0, answer.err
    (record,) = load_records(results)
    folder = RunFolder(results / record.name)
    lines = [json.loads(line) for line in folder.curves.read_text().splitlines()]
    init, *logged, closed = wandb.CALLS
    assert (init[1]["name"], init[1]["config"]["epochs"], init[2]) == (record.name, 2, "offline")
    assert [values for _, values in logged] == lines
    assert closed == ("closed",)
    assert board[0] == ("folder", str(folder.path / "tensorboard"))
    assert ("validation_mAP", lines[1]["validation_mAP"], lines[1]["iteration"]) in board
    assert board[-1] == ("closed",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "BENCH_TRACKERS: .*wandb.*; pip install wandb"),
        ("tensorbord", "BENCH_TRACKERS: no tracker 'tensorbord'; did you mean 'tensorboard'?"),
    ],
)
def test_absent_trackers(tmp_path, monkeypatch, name, message):
    monkeypatch.setitem(sys.modules, "wandb", None)  # its import fails, as if it were absent
    monkeypatch.setenv("BENCH_TRACKERS", name)
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        make_visualizer(tmp_path, resolve("small", "mean"))


def test_without_the_variable_nothing_is_tracked(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_TRACKERS", raising=False)
    assert make_visualizer(tmp_path, resolve("small", "mean")) is None

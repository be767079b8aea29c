"""Every published system with AFA: a training that was stopped and resumed has the bits of an undisturbed one."""

import os
import signal
from pathlib import Path

import pytest
import torch

from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.loading import load
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.engine.recognition import attributes_for
from benchmarks.engine.run import Machine, flow_for
from benchmarks.engine.training import Stopped, train
from benchmarks.experiments.settings import resolve
from benchmarks.suites import published_systems

SYSTEMS = sorted({system.baseline for system in published_systems.ALL} | {"tam", "tks"})
CHANGES = ("epochs=1", "identities=4", "clips=2", "clip_frames=4", "erase=0.5")  # two steps


def go_on(method: str, folder: Path) -> ReidModel:
    """The model after its training in `folder`, from the state there, if there is one."""
    data, settings = load("walkers:tiny"), resolve("small", method, CHANGES)
    flow = flow_for(method, data, settings, Machine(0, 10.0, lambda *_, **__: None))
    batches = TrainingBatches(data.table[data.table.subset == "train"], data.store, settings, 0, flow)
    known = attributes_for(method, data, batches.pids)
    values = torch.from_numpy(known.training) if known else None
    model, _ = build_model(method, len(batches.pids), settings, 0, values)
    folder.mkdir(exist_ok=True)
    files = {name: folder / name for name in ("checkpoint", "curves", "log")}
    train(model, batches, folder, **files, workers=0, checkpoint_minutes=10)
    return model


@pytest.mark.parametrize("name", SYSTEMS)
def test_resumed_system_has_the_same_bits(name, tmp_path, monkeypatch):
    method, step = f"{name}+afa", ReidModel.train_step
    whole = go_on(method, tmp_path / f"{name}-whole").state_dict()

    def stopped_step(*given, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*given, **more)

    monkeypatch.setattr(ReidModel, "train_step", stopped_step)
    with pytest.raises(Stopped, match="stopped after iteration 1 of 2"):
        go_on(method, tmp_path / f"{name}-stopped")
    steps = []
    monkeypatch.setattr(ReidModel, "train_step", lambda *given, **more: steps.append(1) or step(*given, **more))
    resumed = go_on(method, tmp_path / f"{name}-stopped").state_dict()
    assert len(steps) == 1
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)

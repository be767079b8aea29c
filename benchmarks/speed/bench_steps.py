"""Training steps with AFA and of `cnn3d`, each beside a step of `mean` taken just before it.

The median of their ratios stands behind the name. `cnn3d` may take twice as long as `mean`. ResNet-18 and few clips:
ResNet-50 at 256x128 takes minutes on two cores.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.data.clips import TrainingBatches
from benchmarks.data.loading import load
from benchmarks.model import build_model
from benchmarks.settings import resolve

CHANGES = ["backbone=resnet18", "height=128", "width=64", "identities=2", "clips=2"]
ROUNDS = 10


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> TrainingBatches:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = load("walkers:tiny")
    return TrainingBatches(data.table[data.table.subset == "train"], data.store, resolve("control", "mean", CHANGES), 0)


def steps_of(method: str, batches: TrainingBatches) -> Callable[[], None]:
    """A function that takes one training step, always on the same batch."""
    settings = resolve("control", method, CHANGES)
    torch.set_num_threads(settings.threads)
    model = build_model(method, len(batches.pids), settings, seed=0)[0].train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    batch = batches[0]

    def step() -> None:
        optimizer.zero_grad()
        losses: Any = model(**batch._asdict(), mode="loss")
        sum(losses.values()).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("method", ["mean", "mean+afa", "cnn3d"])
def test_training_step(benchmark: Any, batches: TrainingBatches, method: str) -> None:
    peer, peer_seconds = steps_of("mean", batches), []

    def before() -> None:
        start = time.perf_counter()
        peer()
        peer_seconds.append(time.perf_counter() - start)

    benchmark.pedantic(steps_of(method, batches), setup=before, rounds=ROUNDS, warmup_rounds=2)
    ratio = float(np.median(np.divide(benchmark.stats.stats.data, peer_seconds[-ROUNDS:])))
    benchmark.extra_info["times mean"] = ratio
    benchmark.stats.name += f", {ratio:.2f} x mean"

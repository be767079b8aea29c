"""The memory of a training step, against a network counted by hand and against a GPU's own count."""

import json

import pytest
import torch
from torch import nn

from baselines import BASELINES
from baselines.interface import Backbone
from benchmarks.engine.model import ReidModel
from benchmarks.experiments.settings import resolve
from benchmarks.scheduling.estimate import MEASURED_ON_GPU
from benchmarks.scheduling.memory import estimate_memory, step_memory


class TwoConvolutions(Backbone):
    """3 to 8 channels at half the size, GELU, 8 to 16 channels at a quarter."""

    def __init__(self) -> None:
        first, second = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.Conv2d(8, 16, 3, 2, 1, bias=False)
        super().__init__({"one": nn.Sequential(first, nn.GELU()), "two": second}, (8, 16))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        raise NotImplementedError


@pytest.mark.parametrize(("micro_batch", "at_once"), [(0, 6), (2, 2), (5, 5), (100, 6)])
def test_a_network_counted_by_hand(micro_batch, at_once):
    """Two identities with three clips of five frames of 16x8."""
    changes = ["identities=2", "clips=3", "clip_frames=5", "height=16", "width=8", f"micro_batch={micro_batch}"]
    with torch.device("meta"):
        model = ReidModel(BASELINES.get("mean")(TwoConvolutions()), 10, resolve("small", "mean", changes))
    weights = 8 * 3 * 9 + 16 * 8 * 9 + 2 * 16 + 10 * 16  # convolutions, neck, classifier
    pixels = 6 * 5 * 3 * 16 * 8
    first = (
        at_once * 5 * 8 * 8 * 4
    )  # kept twice: before and after GELU; the second convolution's output is not needed again
    by_hand = 16 * weights + (1 + 4) * pixels + 4 * (2 * first) + 4 * 2 * first
    assert step_memory(model) == by_hand


def test_sgd_and_bf16_have_their_own_sizes():
    sizes = {}
    for change in ("optimizer=adam", "optimizer=sgd", "precision=bf16"):
        with torch.device("meta"):
            sizes[change] = step_memory(
                ReidModel(BASELINES.get("mean")(TwoConvolutions()), 10, resolve("small", "mean", [change]))
            )
    weights = 8 * 3 * 9 + 16 * 8 * 9 + 2 * 16 + 10 * 16
    assert sizes["optimizer=adam"] - sizes["optimizer=sgd"] == 4 * weights
    assert sizes["precision=bf16"] < 0.75 * sizes["optimizer=adam"]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_near_what_a_gpu_measured(precision):
    """ResNet-50 by the paper's recipe for MARS, whose peak a GPU has counted."""
    rows = json.loads(MEASURED_ON_GPU.read_text())["methods"]
    (measured,) = [
        row["memory"] for row in rows if row["method"] == "mean" and row["precision"] == precision and "memory" in row
    ]
    settings = resolve("mars", "mean", [f"precision={precision}"])
    assert estimate_memory("mean", "mars", settings) == pytest.approx(measured, rel=0.15)

"""Training steps: the trainer against a bare loop on the same batch, and the cost of AFA and `cnn3d` over `mean`.

ResNet-50 at the paper's 256x128, in few and short clips, because an image takes a sixth of a second on two cores. The trainer is
also timed on the small recipe's whole batch, whose step is short enough to show the trainer's overhead. The step of `small` is
what users without a GPU wait for, so it is timed beside other ways to compute it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.interface.backbone import Backbone
from benchmarks.clips.training_batches import Batch, TrainingBatches
from benchmarks.engine.model import ReidModel
from benchmarks.engine.training import train
from benchmarks.experiments.settings import Settings, resolve

from .comparison import compare
from .reference import model_of, random_batch, train_bare

SHORT = ("weights=none", "identities=2", "clips=2", "clip_frames=2")


class Again(TrainingBatches):
    """One batch from memory, `steps` times."""

    def __init__(self, batch: Batch, settings: Settings, steps: int) -> None:
        self.batch, self.settings, self.per_epoch = batch, settings, steps

    def __len__(self) -> int:
        return self.per_epoch

    def __getitem__(self, i: int) -> Batch:
        return self.batch


@pytest.mark.parametrize(("recipe", "changes", "steps"), [("paper", SHORT, 2), ("small", (), 20)])
def test_trainer(benchmark: Any, tmp_path: Path, recipe: str, changes: tuple[str, ...], steps: int) -> None:
    settings = resolve(recipe, "mean", changes)
    batch = random_batch(settings)
    ours, peer = model_of("mean", settings), model_of("mean", settings)

    def trained() -> None:
        curves, log = (tmp_path / name for name in ("curves", "log"))
        train(
            ours,
            Again(batch, settings, steps),
            tmp_path,
            checkpoint=None,
            curves=curves,
            log=log,
            workers=0,
            checkpoint_minutes=60,
        )

    compare(
        benchmark,
        trained,
        lambda: train_bare(peer, batch, steps),
        what=f"a training step, {settings.backbone} at {settings.height}x{settings.width}",
        limit="the bare loop: same model, same data already in memory",
        target=1.03,
        count=steps * batch.labels.numel() * settings.clip_frames,
        note="by profile, the loop and its hooks take 0.2%, and the start of a training 0.5%; the rest varies with the machine",
    )


@pytest.mark.parametrize(("method", "target", "rounds"), [("mean+afa", 1.01, 15), ("cnn3d", 2.0, 5)])
def test_method_on_top_of_mean(benchmark: Any, method: str, target: float, rounds: int) -> None:
    batch = random_batch(resolve("paper", "mean", SHORT))
    ours, mean = (model_of(each, resolve("paper", each, SHORT)) for each in (method, "mean"))
    compare(
        benchmark,
        lambda: train_bare(ours, batch, 1),
        lambda: train_bare(mean, batch, 1),
        what=f"a training step of {method}, {ours.settings.backbone}",
        limit="the step of mean",
        target=target,
        rounds=rounds,
        note="the classification of each frame in place of one vector a clip, and the constraint; mean computes no noise",
    )


def channels_last(model: ReidModel) -> None:
    """Store each pixel's channels together, as tensor cores and oneDNN's fastest convolutions read them."""
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def compiled(model: ReidModel) -> None:
    """Compile the two parts of each backbone."""
    for module in model.modules():
        if isinstance(module, Backbone):
            module.early.compile(dynamic=False)
            module.late.compile(dynamic=False)


ALTERNATIVES: dict[str, tuple[tuple[Callable[[ReidModel], None], ...], str]] = {
    "channels_last": (
        (channels_last,),
        "another order of sums, so that every committed result would have other last bits",
    ),
    "compiled": ((compiled,), "it takes a C compiler and a minute before the first step, and changes the last bits"),
    "channels_last and compiled": ((channels_last, compiled), "the two above"),
}


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_small_is_as_fast_as_can_be(benchmark: Any, alternative: str) -> None:
    settings = resolve("small", "mean")
    batch = random_batch(settings)
    ours, peer = model_of("mean", settings), model_of("mean", settings)
    changes, note = ALTERNATIVES[alternative]
    for change in changes:
        change(peer)
    compare(
        benchmark,
        lambda: train_bare(ours, batch, 5),
        lambda: train_bare(peer, batch, 5),
        what=f"a training step of mean, small at {settings.height}x{settings.width}, as it is",
        limit=f"the same step, {alternative}",
        target=1.05,
        rounds=7,
        count=5 * batch.labels.numel() * settings.clip_frames,
        note=note,
    )

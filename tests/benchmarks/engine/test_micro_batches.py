"""A batch in micro-batches has the gradient of the whole batch, or is refused with the reason."""

import pytest
import torch
from torch import nn

from afa import disentangle
from baselines import BASELINES
from baselines.interface import Backbone, Baseline, UserError
from benchmarks.engine import micro_batches
from benchmarks.engine.micro_batches import batch_statistics
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import resolve

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


class Plain(Backbone):
    """Two convolutions without batch normalisation."""

    def __init__(self) -> None:
        convolutions = [nn.Conv2d(inputs, outputs, 3, 2, 1) for inputs, outputs in ((3, 8), (8, 16))]
        super().__init__({"one": nn.Sequential(convolutions[0], nn.GELU()), "two": convolutions[1]}, (8, 16))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        raise NotImplementedError


def model(method: str, size: int, *changes: str, kind: type[Baseline] | None = None) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=3", f"micro_batch={size}", "sigma=0.5", *changes])
    torch.manual_seed(0)
    return ReidModel((kind or BASELINES.get(split_method(method)[0]))(Plain()), 3, settings).train()


def loss_and_gradients(made: ReidModel) -> dict[str, torch.Tensor]:
    frames = torch.randint(0, 256, (6, 3, 3, 16, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    loss = sum(made(frames, LABELS, flip=torch.tensor([True, False] * 3), seed=7, mode="loss").values())
    loss.backward()
    gradients = {name: weight.grad for name, weight in made.named_parameters() if weight.grad is not None}
    return {"loss": loss.detach(), **gradients}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("method", ["mean+afa", "qan+afa", "lstm+afa", "attention"])
def test_gradient_is_that_of_the_whole_batch(method, size, monkeypatch):
    """In float64; the hardest pairs of the triplet loss are in different micro-batches."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # frames and losses too
    whole, parts = (loss_and_gradients(model(method, each, "dropout=0").double()) for each in (0, size))
    assert whole.keys() == parts.keys()
    assert len(whole) > 6
    for name, gradient in whole.items():
        assert gradient.dtype == torch.float64
        torch.testing.assert_close(parts[name], gradient, rtol=1e-6, atol=1e-9, msg=name)


def test_fewer_activations_are_kept():
    """Between the forward and the backward pass there are the embeddings, and not the maps of all clips."""

    def kept(size: int) -> int:
        found = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        frames = torch.zeros(6, 3, 3, 64, 32, dtype=torch.uint8)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            terms = model("mean", size)(frames, LABELS, mode="loss")
        assert terms
        return sum(found.values())

    assert kept(1) < kept(0) / 3


def test_batch_normalisation_is_refused():
    with pytest.raises(UserError, match=r"micro_batch=2: Mean has batch normalisation \(backbone.early.stage1.1\)"):
        micro_batches.refuse_mixed_clips(build_model("mean", 2, resolve("small", "mean"), 0)[0].baseline, 2)
    vit = resolve("small", "mean", ["backbone=vit-s16", "height=32", "width=16", "clip_frames=2"])
    with torch.device("meta"):
        assert not batch_statistics(build_model("mean", 2, vit, 0)[0].baseline)


class Drops(Baseline):
    def forward(self, clips):
        return disentangle(nn.functional.dropout(self.embed(clips.frames), 0.5))


class Compares(Baseline):
    def forward(self, clips):
        frames = self.embed(clips.frames)
        return disentangle(frames - frames.mean(dim=0))


class WeighsByBatch(Baseline):
    def forward(self, clips):
        frames = self.embed(clips.frames)
        return disentangle(frames, frames.mean(dim=2).exp() + frames.mean(dim=(0, 2)).exp())


DEPENDS = "depend on the other clips of the batch"


@pytest.mark.parametrize(
    ("kind", "message"), [(Drops, "draws random numbers"), (Compares, DEPENDS), (WeighsByBatch, DEPENDS)]
)
def test_other_dependence_between_clips_is_refused(kind, message):
    with pytest.raises(UserError, match=f"micro_batch=2: .*{message}"):
        loss_and_gradients(model("mean", 2, kind=kind))


def test_refusal_and_memory_of_a_run_are_one_line(bench, results, monkeypatch):
    run = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "1")
    answer = bench(*run, "--set", "micro_batch=2")
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith("bench: micro_batch=2: Mean has batch normalisation")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB."
        )

    monkeypatch.setattr(ReidModel, "train_step", full)
    answer = bench(*run)
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == (
        "bench: the GPU is out of memory (tried to allocate 2.00 GiB); a batch has 32 clips: lower identities or clips, or use "
        "a lower clip_frames, or height and width, or --precision bf16"
    )
    assert not list(results.glob("*/model.safetensors"))


def test_advice_names_a_micro_batch_where_it_is_exact():
    baseline = model("mean", 0).baseline
    assert micro_batches.advice_for_training(baseline, 32, 0).startswith("--set micro_batch=16 passes fewer clips")
    assert micro_batches.advice_for_training(baseline, 32, 8).startswith("--set micro_batch=4 ")

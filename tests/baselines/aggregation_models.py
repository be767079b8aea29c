"""Small models that aggregate frames, and clips for them."""

import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import resolve

LABELS = torch.tensor([0, 0, 1, 1])
ATTRIBUTES = torch.tensor([[0, 1], [1, 0]])  # of two classes


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """The model with random numbers in the place of heads that start at zero, so that its weights differ."""
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3, generator=draw)
    return model


def prepared(kind: type) -> torch.nn.Module:
    """A model for evaluation: with weights that differ, and the statistics of a batch in its batch normalisations."""
    torch.manual_seed(0)
    model = kind(build_backbone("small", "none")[0])
    if model.uses_attributes:
        model.add_attributes(ATTRIBUTES)
    randomised(model).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model(Clips(clips(8, seed=9)))
    return model.eval()


def build(name: str) -> torch.nn.Module:
    return prepared(BASELINES.get(name))


def clips(batch: int = 2, steps: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, steps, 3, 64, 32, generator=torch.Generator().manual_seed(seed))


def trained(method: str, *changes: str) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=4", *changes])
    model = build_model(method, 2, settings, seed=0, attributes=ATTRIBUTES)[0].train()
    randomised(model.baseline)
    return model


def loss_terms(model: ReidModel) -> dict[str, torch.Tensor]:
    frames = torch.randint(0, 256, (4, 4, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return model(frames, LABELS, mode="loss")

"""Small models with a model of time, and clips for them."""

import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips
from baselines.interface.backbone import Backbone
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import resolve

LABELS = torch.tensor([0, 0, 1, 1])


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clips(batch: int = 2, steps: int = 4, seed: int = 0) -> torch.Tensor:
    return draw(batch, steps, 3, 64, 32, seed=seed)


def given(frames: torch.Tensor) -> Clips:
    """The frames with flow that is drawn, the same for each clip of as many frames."""
    return Clips(frames, draw(*frames.shape[:2], 1, 2, *frames.shape[3:], seed=11))


def new_backbone(name: str = "small", steps: int = 4) -> Backbone:
    """A backbone of a run with clips of `steps` frames."""
    torch.manual_seed(0)
    backbone = build_backbone(name, "none")[0]
    backbone.clip_frames, backbone.image_size = steps, (64, 32)
    return backbone


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """The model with random numbers where weights start at zero, so that each part has an effect."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def build(name: str, steps: int = 4, start: bool = False) -> torch.nn.Module:
    """A model for evaluation, with the statistics of a batch in its batch normalisations; `start`: as it begins."""
    model = BASELINES.get(name)(new_backbone(steps=steps))
    model = (model if start else randomised(model)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model(given(clips(8, steps, seed=9)))
    return model.eval()


def trained(method: str, *changes: str) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=4", "height=64", "width=32", *changes])
    model = build_model(method, 2, settings, seed=0)[0].train()
    randomised(model.baseline)
    return model

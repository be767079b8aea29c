"""`mobilenet_v2`: torchvision's MobileNetV2."""

import re
from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

from .weights import torchvision_file

MIDDLE = 14  # blocks before the last stage
PROJECTION = re.compile(r".*\.conv\.[12]|blocks\.0\.0")  # of each inverted residual, and the first convolution


@register("mobilenet_v2")
class MobileNet(Backbone):
    """A light backbone, 1,280 channels; small enough to train on a CPU at 128x64."""

    def __init__(self, network: Any) -> None:
        blocks = list(network.features)
        super().__init__(
            {"blocks": nn.Sequential(*blocks[:MIDDLE]), "last": nn.Sequential(*blocks[MIDDLE:])}, (96, 1280)
        )
        self.inflatable = tuple(name for name in self.convolutions if PROJECTION.fullmatch(name))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        return torchvision.models.get_model(name, weights=None)

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path:  # noqa: ARG003 - there is one
        return torchvision_file("MobileNet_V2_Weights.IMAGENET1K_V1", download)

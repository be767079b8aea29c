"""`r3d18` and `r2plus1d18`: torchvision's video networks, for `cnn3d`."""

from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

from .weights import torchvision_file

# torchvision has weights of Kinetics-400 alone for its video networks; `--weights imagenet` means those here.
WEIGHTS = {"r3d18": "R3D_18_Weights.KINETICS400_V1", "r2plus1d18": "R2Plus1D_18_Weights.KINETICS400_V1"}
TORCHVISION_NAMES = {"r3d18": "r3d_18", "r2plus1d18": "r2plus1d_18"}


@register("r3d18", "r2plus1d18")
class VideoResNet(Backbone):
    """`r3d18`: 3-D convolutions, 512 channels, for cnn3d. `r2plus1d18`: convolutions factorised into space and time, for cnn3d.

    Without a stride in time, so that T time steps come out, and with a last stage of stride 1 as the image networks have it.
    """

    video = True

    def __init__(self, network: Any) -> None:
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                module.stride = (1, *module.stride[1:])
        for module in network.layer4.modules():
            if isinstance(module, nn.Conv3d):
                module.stride = (1, 1, 1)
        layers = {f"layer{number}": getattr(network, f"layer{number}") for number in range(1, 5)}
        super().__init__({"stem": network.stem, **layers}, (64, 64, 128, 256, network.fc.in_features))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        return torchvision.models.get_model(TORCHVISION_NAMES[name], weights=None)

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path:
        return torchvision_file(WEIGHTS[name], download)

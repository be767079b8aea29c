"""`resnet50` and `resnet18`: torchvision's residual networks."""

from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

from .weights import torchvision_file

# The ImageNet weights of 2020, which the paper can have used, and not torchvision's later IMAGENET1K_V2.
WEIGHTS = {"resnet50": "ResNet50_Weights.IMAGENET1K_V1", "resnet18": "ResNet18_Weights.IMAGENET1K_V1"}


@register("resnet50", "resnet18")
class ResNet(Backbone):
    """`resnet50`: the paper's backbone, 2,048 channels. `resnet18`: a smaller one, 512 channels.

    The last stage has stride 1 (section 3.3), so that the map keeps its resolution, or 2 as ImageNet networks have it.
    """

    has_last_stride = True

    def __init__(self, network: Any, last_stride: int = 1) -> None:
        last = network.layer4[0]
        if last_stride == 1:
            last.downsample[0].stride = (1, 1)
            for convolution in (last.conv1, last.conv2):  # ResNet-18 strides in the first, ResNet-50 in the second
                convolution.stride = (1, 1)
        stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        layers = {f"layer{number}": getattr(network, f"layer{number}") for number in range(1, 5)}
        outputs = [layer[0].downsample[0].out_channels for layer in list(layers.values())[1:]]
        super().__init__({"stem": stem, **layers}, (64, outputs[0] // 2, *outputs))
        self.inflatable = tuple(
            name for name in self.convolutions if name.endswith(".conv1")
        )  # the first of each block

    @classmethod
    def network(cls, name: str) -> nn.Module:
        return torchvision.models.get_model(name, weights=None)

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path:
        return torchvision_file(WEIGHTS[name], download)

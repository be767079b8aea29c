"""`resnet50-linear-stem`: ResNet-50 without the ReLU of its stem, as in the released code of STE-NVAN (Liu et al., 2019)."""

from pathlib import Path
from typing import Any

from torch import nn

from baselines.interface.registry import register

from .resnet import ResNet


@register("resnet50-linear-stem")
class ResNetLinearStem(ResNet):
    """ResNet-50 in which the maximum pooling of the stem follows its normalisation directly; 2,048 channels.

    The ImageNet weights are those of ResNet-50, which were trained with the ReLU.
    """

    @classmethod
    def network(cls, name: str) -> nn.Module:  # noqa: ARG003 - there is one
        network: Any = ResNet.network("resnet50")
        network.relu = nn.Identity()
        made: nn.Module = network
        return made

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path:  # noqa: ARG003 - there is one
        return ResNet.pretrained_file("resnet50", download)

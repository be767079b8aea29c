"""`resnet50-ibn-a`: ResNet-50 with instance and batch normalisation side by side, of Pan, Luo, Shi and Tang (ECCV 2018)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.interface.registry import register

from .resnet import ResNet
from .weights import hub_file

WEIGHTS = "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth"


@register("resnet50-ibn-a")
class ResNetIbn(ResNet):
    """ResNet-50 in which half of each block's first normalisation is over the instance, in layer1 to layer3; 2,048 channels."""

    @classmethod
    def network(cls, name: str) -> nn.Module:  # noqa: ARG003 - there is one
        network: Any = ResNet.network("resnet50")
        for layer in (network.layer1, network.layer2, network.layer3):
            for block in layer:
                block.bn1 = InstanceBatchNorm(block.bn1.num_features)
        made: nn.Module = network
        return made

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path:  # noqa: ARG003 - there is one
        return hub_file(WEIGHTS, download)


class InstanceBatchNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others. Names as in the weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instances = channels // 2
        self.IN = nn.InstanceNorm2d(self.instances, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.instances)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.IN(maps[:, : self.instances]), self.BN(maps[:, self.instances :])], dim=1)

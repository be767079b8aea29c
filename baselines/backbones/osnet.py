"""`osnet`: the Omni-Scale Network of Zhou, Yang, Cavallaro and Xiang (ICCV 2019), width 1.0.

The names of the tensors are those of the authors' weights (torchreid), whose files `--weights FILE` takes.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

WIDTHS = (64, 256, 384, 512)
STREAMS = "abcd"  # of 1, 2, 3 and 4 light convolutions: receptive fields of 3 to 9
REDUCTION, GATE_REDUCTION = 4, 16


@register("osnet")
class OmniScale(Backbone):
    """A light network made for re-identification: each block sees four scales and gates them; 512 channels.

    Its fully connected layer behind the average over the image is left out. There are no weights to download.
    """

    def __init__(self, network: Any) -> None:
        stages = {
            "stem": nn.Sequential(network.conv1, network.maxpool),
            "conv2": blocks_of(network.conv2),
            "conv3": blocks_of(network.conv3),
            "last": nn.Sequential(*network.conv4, network.conv5),
        }
        super().__init__(stages, WIDTHS)
        self.inflatable = tuple(name for name in self.convolutions if name.endswith(".conv1.conv"))  # a block's first

    @classmethod
    def network(cls, name: str) -> nn.Module:  # noqa: ARG003 - there is one
        return Network()


class Network(nn.Module):
    """The network without its classifier; `fc` is its embedding behind the average over the image."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, last = WIDTHS
        self.conv1 = Layer(3, first, 7, stride=2, padding=3)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(*two_blocks(first, second), halving(second))
        self.conv3 = nn.Sequential(*two_blocks(second, third), halving(third))
        self.conv4 = nn.Sequential(*two_blocks(third, last))
        self.conv5 = Layer(last, last, 1)
        self.fc = nn.Sequential(nn.Linear(last, last), nn.BatchNorm1d(last), nn.ReLU())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class Layer(nn.Module):
    """A convolution without bias, batch normalisation and, unless `linear`, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0, linear: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.activation = nn.Identity() if linear else nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        passed: Tensor = self.activation(self.bn(self.conv(maps)))
        return passed


class LightLayer(nn.Sequential):
    """A 3x3 convolution in two steps: 1x1 over the channels, then 3x3 in each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.activation = nn.ReLU()


class Gate(nn.Module):
    """Multiplies each channel by a factor from 0 to 1 that depends on the whole map. All streams of a block share it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.fc2(self.fc1(maps.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    """Four streams of light convolutions, gated, summed and added to the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = outputs // REDUCTION
        self.conv1 = Layer(inputs, width, 1)
        for count, stream in enumerate(STREAMS, 1):
            layers = [LightLayer(width) for _ in range(count)]
            setattr(self, f"conv2{stream}", nn.Sequential(*layers) if count > 1 else layers[0])
        self.gate = Gate(width)
        self.conv3 = Layer(width, outputs, 1, linear=True)
        self.downsample = Layer(inputs, outputs, 1, linear=True) if inputs != outputs else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        reduced = self.conv1(maps)
        streams = [self.gate(getattr(self, f"conv2{stream}")(reduced)) for stream in STREAMS]
        added: Tensor = self.conv3(sum(streams[1:], streams[0])) + self.downsample(maps)
        return added.relu()


def blocks_of(stage: nn.Sequential) -> nn.Sequential:
    """Two blocks, the halving being a part of the second."""
    first, second, halving = stage
    return nn.Sequential(first, nn.Sequential(second, halving))


def two_blocks(inputs: int, outputs: int) -> Sequence[nn.Module]:
    return Block(inputs, outputs), Block(outputs, outputs)


def halving(channels: int) -> nn.Module:
    """A 1x1 convolution, and the average of 2 x 2 positions."""
    return nn.Sequential(Layer(channels, channels, 1), nn.AvgPool2d(2))

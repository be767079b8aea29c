"""`small`: four convolutions, for controls and demonstrations on a CPU."""

from collections import OrderedDict

from torch import nn

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

WIDTHS = (32, 64, 128, 256)


@register("small")
class Small(Backbone):
    """Four convolutions, the first three with stride 2: for controls and demonstrations on a CPU."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(dict(network.named_children()), WIDTHS)
        self.inflatable = tuple(f"stage{number}.0" for number in range(1, len(WIDTHS)))  # all but the last

    @classmethod
    def network(cls, name: str) -> nn.Module:  # noqa: ARG003 - there is one
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = 3
        for number, outputs in enumerate(WIDTHS, 1):
            stride = 2 if number < len(WIDTHS) else 1
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            stages[f"stage{number}"] = nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
            inputs = outputs
        return nn.Sequential(stages)

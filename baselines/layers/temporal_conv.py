"""A convolution over space, and over the previous, the same and the next frame."""

import torch
from torch import Tensor, nn

from baselines.interface.backbone import TemporalLayer


class TemporalConv(TemporalLayer):
    """y(t) = C x(t) + P (x(t-1) - x(t)) + N (x(t+1) - x(t)), with C the given convolution and P, N new.

    A still clip goes through C alone, so that ImageNet weights keep their meaning (as in the inflation of Carreira and
    Zisserman, 2017), while P and N answer to motion from the first step on: kernels that start at zero, or all equal, were
    seen to stay there where only motion tells people apart. At the ends of a clip its first and last frame stand still.

    Args:
        convolution: from (B * T, C, H, W).
        size: of P and N at the start, in units of torch's own initialisation.
    """

    def __init__(self, convolution: nn.Conv2d, size: float = 1.0) -> None:
        super().__init__()
        self.convolution = convolution
        previous, following = torch.empty_like(convolution.weight), torch.empty_like(convolution.weight)
        for weight in (previous, following):
            nn.init.kaiming_uniform_(weight, a=5**0.5).mul_(size)  # as torch initialises any convolution
        self.previous, self.following = nn.Parameter(previous), nn.Parameter(following)

    def forward(self, images: Tensor) -> Tensor:
        centre = self.convolution.weight - self.previous - self.following
        kernels = torch.cat([self.previous, centre, self.following])
        # One convolution with three times the outputs, shifted in time afterwards, is as fast as a 2-D one gets.
        three = nn.functional.conv2d(
            images,
            kernels,
            None,
            self.convolution.stride,
            self.convolution.padding,
            self.convolution.dilation,
        )
        before, same, after = three.unflatten(0, (-1, self.steps)).chunk(3, dim=2)
        before = torch.cat([before[:, :1], before[:, :-1]], dim=1)
        after = torch.cat([after[:, 1:], after[:, -1:]], dim=1)
        return (before + same + after).flatten(0, 1)

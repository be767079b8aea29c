"""`cnn3d`: a two-dimensional backbone inflated in time, or a video network of torchvision's."""

import re

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .backbones import Backbone

# The one convolution of each block that gets a kernel over time, by its name in the backbone: the first of a residual block,
# the projection of an inverted residual (and MobileNet's first), and each but the last of `small`. They are the cheap ones of
# their blocks.
INFLATED = re.compile(r".*\.conv1|.*\.conv\.[12]|early\.\d\.0")
# Up to so many kernels over time start as torch starts any convolution, and n of them by the root of 3 / n smaller, so that all
# together bring as much of what moves into a deep network as into `small`. Else ImageNet weights begin with noise.
FULL_SIZE = 3


class TemporalConv(nn.Module):
    """A convolution over space, and over the previous, the same and the next frame.

    y(t) = C x(t) + P (x(t-1) - x(t)) + N (x(t+1) - x(t)), with C the given convolution and P, N drawn anew. A still clip
    goes through C alone, so that ImageNet weights mean what they meant (as in the inflation of Carreira and Zisserman, 2017),
    while P and N answer to motion from the first step on: kernels that start at zero, or all alike, were seen to stay there
    where nothing but motion tells people apart. At the ends of a clip its first and last frame stand still.

    The input is (B * T, C, H, W); `steps` is T and is set by the baseline before each forward pass. `size`: of P and N at the
    start, in units of torch's own.
    """

    def __init__(self, convolution: nn.Conv2d, size: float = 1.0) -> None:
        super().__init__()
        self.convolution = convolution
        previous, following = torch.empty_like(convolution.weight), torch.empty_like(convolution.weight)
        for weight in (previous, following):
            nn.init.kaiming_uniform_(weight, a=5**0.5).mul_(size)  # as torch starts any convolution
        self.previous, self.following = nn.Parameter(previous), nn.Parameter(following)
        self.steps = 1

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


@register("cnn3d")
class Cnn3d(Baseline):
    """The backbone with a kernel over time in each block and no stride in time, so that T time steps come out.

    Over `r3d18` and `r2plus1d18` it is the video network as torchvision has it, likewise without a stride in time.
    """

    takes_video = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        if not backbone.video:
            _inflate(backbone)
        self.temporal = [module for module in backbone.modules() if isinstance(module, TemporalConv)]

    def forward(self, clips: Clips) -> VideoFeatures:
        if self.backbone.video:
            return disentangle(self.backbone(clips.frames.transpose(1, 2)).mean(dim=(3, 4)).transpose(1, 2))
        for convolution in self.temporal:
            convolution.steps = clips.frames.shape[1]
        return disentangle(self.embed(clips.frames))


def _inflate(backbone: Backbone) -> None:
    """Put a `TemporalConv` in the place of each convolution that INFLATED names."""
    modules = backbone.named_modules()
    found = [(name, each) for name, each in modules if isinstance(each, nn.Conv2d) and INFLATED.fullmatch(name)]
    size = min(1.0, (FULL_SIZE / len(found)) ** 0.5)
    for name, convolution in found:
        parent, _, attribute = name.rpartition(".")
        setattr(backbone.get_submodule(parent), attribute, TemporalConv(convolution, size))

"""`cnn3d`: a two-dimensional backbone inflated in time, or a video network of torchvision."""

from afa import VideoFeatures, disentangle

from .interface.backbone import Backbone
from .interface.baseline import Baseline, Clips
from .interface.errors import UserError
from .interface.registry import register
from .layers.temporal_conv import TemporalConv

# Up to so many kernels over time start as torch starts any convolution, and n of them smaller by the root of 3 / n, so that all
# together bring as much motion into a deep network as into `small`. Otherwise ImageNet weights begin with noise.
FULL_SIZE = 3


@register("cnn3d")
class Cnn3d(Baseline):
    """The backbone with a kernel over time in each block and no stride in time, so that the output keeps all T time steps.

    With `r3d18` or `r2plus1d18` it is torchvision's video network, likewise without a stride in time.

    Family: convolution over time
    Source: inflated as by Carreira and Zisserman, CVPR 2017
    Needs: convolutions in the backbone, or a video network
    """

    takes_video = True
    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        if not backbone.video:
            _inflate(backbone)

    def forward(self, clips: Clips) -> VideoFeatures:
        if self.backbone.video:
            return disentangle(self.backbone.pool(self.backbone(clips.frames.transpose(1, 2))).transpose(1, 2))
        return disentangle(self.embed(clips.frames))


def _inflate(backbone: Backbone) -> None:
    """Put a `TemporalConv` in the place of each convolution that the backbone names as inflatable."""
    if not backbone.inflatable:
        raise UserError(
            f"backbone: {type(backbone).__name__} names no convolutions to inflate in time, as cnn3d needs them"
        )
    size = min(1.0, (FULL_SIZE / len(backbone.inflatable)) ** 0.5)
    for name in backbone.inflatable:
        backbone.replace(name, TemporalConv(backbone.convolutions[name], size))

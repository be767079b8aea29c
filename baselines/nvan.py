"""`nvan`: the Non-local Video Attention Network of Liu, Wu, Wang and Chien (BMVC 2019), after its released code.

Non-local blocks inside the backbone let every position of every frame of a clip attend to all others. With x (C, N) the map of
a clip, N = T h w positions:

    A = softmax_j theta(x)_i . phi(x)_j        theta, phi, g: linear, to C / 2 channels; A is not scaled
    x <- x + BN(W (g(x) A^T))                  BN starts at zero, so that training begins as `mean`

They follow the last two blocks of layer2 and the last three of layer3 of ResNet-50. X^t is the average of the last map of a
frame, X_C their mean; D is the backbone's, no weights.

Choices: another backbone has them after the last blocks of its two stages before the last, which may be fewer. The code's
ResNet lacks the stem's ReLU (`backbone=resnet50-linear-stem`). The blocks see a chunk of a tracklet at test; the code takes 8
frames in one pass (`test_frames=8`, `clip_frames=8`, `sampling=padded`).
"""

from torch import Tensor

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.non_local import NonLocal
from .layers.placement import middle_blocks, output_shapes


class SpaceTime(TemporalLayer):
    """A non-local block over all positions of all frames of a clip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = NonLocal(channels)

    def forward(self, maps: Tensor) -> Tensor:
        clips = maps.unflatten(0, (-1, self.steps)).transpose(1, 2)  # (B, C, T, h, w)
        mixed: Tensor = self.block(clips.flatten(2)).view(clips.shape).transpose(1, 2).flatten(0, 1)
        return mixed


@register("nvan")
class NonLocalAttention(Baseline):
    """Non-local blocks over all positions of all frames inside the backbone, then the mean.

    Family: attention between frames
    Source: NVAN: Liu et al., BMVC 2019, released code
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        second, third = middle_blocks(backbone)
        names = [*second[-2:], *third[-3:]]
        for name, shape in zip(names, output_shapes(backbone, names), strict=True):
            backbone.insert_after(name, SpaceTime(shape[0]))

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))

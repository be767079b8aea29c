"""`ap3d`: Appearance-Preserving 3D Convolution of Gu, Chang, Ma, Zhang and Chen (ECCV 2020), after its released code.

A convolution over time mixes pixels that show different things. Here each neighbouring frame is first rebuilt so that it is
aligned with the frame in the middle. With s the output of a convolution over space, C channels, i and j positions:

    S_ij = softmax_j 4 cos(E s_t(i), E s_n(j)),  n = t - 1, t + 1     E to C / 16 channels; softmax over the neighbour's positions
    n~(i) = sum_j S_ij s_n(j)
    n~ <- sigmoid(w . (W_x s_t * W_n n~)) n~                          a gate, blind to the gradient of s_t and n~
    out_t = s_t + K [n~_t-1, s_t, n~_t+1]                             K starts at zero, so that training begins as `mean`

Beyond the ends of a clip a neighbour is zero. In ResNet-50 these are the 3x3 convolutions of blocks 0, 2 of layer2 and 0, 2, 4
of layer3 ("APP3DC"). X^t is the pooled last map, X_C their mean; D is the backbone's, no weights.

Choices: another backbone has it in every other block of its two stages before the last, in the block's last convolution wider
than 1x1. A backbone that has one block before its last stage, as any of timm, is refused. The code takes the maximum over the
image and a cosine triplet after the neck, and clips of 4 frames, 8 apart, but of 32 at test: `pooling=max`,
`triplet_feature=after`, `triplet_distance=cosine`, `margin=0.3`, `clip_frames=4`, `sampling=consecutive`, `spacing=8`,
`test_chunk=32`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.placement import middle_blocks

REDUCTION, TEMPERATURE = 16, 4.0


@register("ap3d")
class AppearancePreserving(Baseline):
    """Convolutions over time inside the backbone, over neighbouring frames that are aligned first; then the mean.

    Family: convolution over time
    Source: AP3D: Gu et al., ECCV 2020, released code
    Needs: convolutions in several blocks of the backbone
    """

    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        second, third = middle_blocks(backbone)
        if len(second + third) < 2:
            raise UserError(
                f"backbone: ap3d replaces convolutions in several blocks, and {type(backbone).__name__} has only one "
                "before its last stage; use a backbone with more, such as resnet50"
            )
        for blocks in (second, third):
            for block in blocks[::2]:
                wide = [
                    name
                    for name, each in backbone.convolutions.items()
                    if f"{name}.".startswith(f"{block}.") and max(each.kernel_size) > 1
                ]
                if not wide:
                    raise UserError(
                        f"backbone: ap3d replaces convolutions, and {type(backbone).__name__} has none in {block}"
                    )
                backbone.replace(wide[-1], AlignedConv(backbone.convolutions[wide[-1]]))

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))


class AlignedConv(TemporalLayer):
    """A convolution over space, and one over time on neighbouring frames that are aligned first.

    Args:
        convolution: over space; its output has the C channels of the convolution over time.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        channels = convolution.out_channels
        width = max(1, channels // REDUCTION)
        self.convolution = convolution
        self.embedding, self.gate_centre, self.gate_neighbour = (
            nn.Conv2d(channels, width, 1, bias=False) for _ in range(3)
        )
        self.gate = nn.Conv2d(width, 1, 1, bias=False)
        self.over_time = nn.Conv2d(3 * channels, channels, 1, bias=False)  # of the three frames side by side
        nn.init.zeros_(self.over_time.weight)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.convolution(images)
        clips = maps.unflatten(0, (-1, self.steps))
        beyond = torch.zeros_like(clips[:, :1])
        previous = torch.cat([beyond, clips[:, :-1]], dim=1).flatten(0, 1)
        following = torch.cat([clips[:, 1:], beyond], dim=1).flatten(0, 1)
        three = [self.aligned(maps, previous), maps, self.aligned(maps, following)]
        mixed: Tensor = maps + self.over_time(torch.cat(three, dim=1))
        return mixed

    def aligned(self, centre: Tensor, neighbour: Tensor) -> Tensor:
        """The neighbours as their frames in the middle see them, and gated; all (N, C, h, w)."""
        here, there = self.embedding(centre), self.embedding(neighbour)
        rebuilt = rebuild(here, there, neighbour)
        gate = torch.sigmoid(self.gate(self.gate_centre(centre.detach()) * self.gate_neighbour(rebuilt.detach())))
        return gate * rebuilt


def rebuild(here: Tensor, there: Tensor, neighbour: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """n~ before the gate, (N, C, h, w): each position from where the neighbour looks alike.

    Args:
        here, there: (N, E, h, w), by which positions of the frame in the middle and of the neighbour are compared.
        neighbour: (N, C, h, w).
    """
    one, other = (F.normalize(each.flatten(2), dim=1) for each in (here, there))
    likeness = torch.softmax(temperature * one.transpose(1, 2) @ other, dim=2)
    return (neighbour.flatten(2) @ likeness.transpose(1, 2)).view_as(neighbour)

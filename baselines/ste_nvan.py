"""`ste-nvan`: the Spatially and Temporally Efficient NVAN of Liu, Wu, Wang and Chien (BMVC 2019), after its released code.

`nvan` with two savings:

- in space, a block attends to 16 horizontal stripes of a map, each the average of its positions; what the block adds to a
  stripe is added to all its positions;
- in time, a block sees only two neighbouring steps, and neighbouring steps are merged by their maximum after layer2 and again
  after layer3: 8 frames become 4 steps, then 2.

X^t is the average of the last map of the step to which frame t belongs, so that four neighbouring frames share one embedding and
the motion is that of T / 4 steps. X_C is their mean; D is the backbone's, no weights.

The order of frames has an effect, because it decides which frames are neighbours. `reads_order` is therefore set: recipes then
give consecutive frames. The code takes one clip of 8 frames from all over the tracklet (`test_frames=8`, `clip_frames=8`,
`sampling=padded`).

Choices: as `nvan`. A tracklet is cut into clips of `clip_frames` frames at test. A last step without a neighbour is paired with
itself; a map of fewer than 16 rows has a stripe for each. A backbone with one stage before the last, such as `mobilenet_v2`,
merges steps once.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.non_local import NonLocal
from .layers.placement import middle_blocks, output_shapes

STRIPES = 16


@register("ste-nvan")
class EfficientNonLocal(Baseline):
    """Non-local blocks over the stripes of two neighbouring steps; steps are merged two by two on the way.

    Family: attention between frames
    Source: STE-NVAN: Liu et al., BMVC 2019, released code
    """

    reads_order = True
    test_clips = "exact"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        second, third = middle_blocks(backbone)
        stages = [names for names in (second[-2:], third[-3:]) if names]
        channels = [output_shapes(backbone, names) for names in stages]
        for level, (names, shapes) in enumerate(zip(stages, channels, strict=True)):
            for name, shape in zip(names, shapes, strict=True):
                backbone.insert_after(name, StripePairs(shape[0], level))
            backbone.insert_after(names[-1], MergeSteps(level))
        self.merged = 2 ** len(stages)  # frames that become one step

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        vectors = self.backbone.pool(self.backbone(clips.frames.flatten(0, 1), steps)).unflatten(0, (batch, -1))
        return disentangle(vectors.repeat_interleave(self.merged, dim=1)[:, :steps])


class _AtLevel(TemporalLayer):
    """A layer on steps that were merged `level` times before."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    @property
    def left(self) -> int:
        """The number of steps that are left of a clip, T'."""
        return -(-self.steps // 2**self.level)

    def pairs(self, maps: Tensor) -> Tensor:
        """(B * T', ...) to (B * ceil(T' / 2), 2, ...), two neighbouring steps each; a last one alone is there twice."""
        clips = maps.unflatten(0, (-1, self.left))
        if self.left % 2:
            clips = torch.cat([clips, clips[:, -1:]], dim=1)
        return clips.flatten(0, 1).unflatten(0, (-1, 2))


class StripePairs(_AtLevel):
    """A non-local block over the stripes of two neighbouring steps."""

    def __init__(self, channels: int, level: int) -> None:
        super().__init__(level)
        self.block = NonLocal(channels)

    def forward(self, maps: Tensor) -> Tensor:
        pairs = self.pairs(F.adaptive_avg_pool2d(maps, (min(STRIPES, maps.shape[2]), 1)).squeeze(3)).transpose(1, 2)
        added = self.block.residual(pairs.flatten(2)).view(pairs.shape).transpose(1, 2).flatten(0, 1)
        added = added.unflatten(0, (-1, self.left + self.left % 2))[:, : self.left].flatten(0, 1)
        return maps + F.interpolate(added.unsqueeze(3), maps.shape[2:])


class MergeSteps(_AtLevel):
    """The maximum of two neighbouring steps."""

    def forward(self, maps: Tensor) -> Tensor:
        return self.pairs(maps).amax(dim=1)

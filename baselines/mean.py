"""`mean`: temporal average pooling, the paper's ResNet-50 baseline."""

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register


@register("mean")
class Mean(Baseline):
    """Temporal average pooling: all frames have equal weight (Eq. 2).

    Family: pooling
    Source: the paper's baseline, Eq. 2
    """

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))

"""`max`: temporal max pooling."""

from torch import Tensor

from afa import VideoFeatures

from .interface.baseline import Baseline, Clips
from .interface.registry import register


@register("max")
class Max(Baseline):
    """Temporal max pooling: each channel's strongest response over all frames of a tracklet, as in MARS's own code.

    Family: pooling
    Source: Zheng et al., ECCV 2016, released code
    """

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        return VideoFeatures(frames, frames.amax(dim=1))

    def merge(self, coherence: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - a maximum weighs nothing
        return coherence.amax(dim=0)

"""`max`: temporal maximum pooling."""

from torch import Tensor

from afa import VideoFeatures

from .interface.baseline import Baseline, Clips
from .interface.registry import register


@register("max")
class Max(Baseline):
    """Temporal maximum: each channel's strongest response over all frames of a tracklet, as MARS's own code pools."""

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        return VideoFeatures(frames, frames.amax(dim=1))

    def merge(self, coherence: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 - a maximum weighs nothing
        return coherence.amax(dim=0)

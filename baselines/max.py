"""`max`: temporal maximum pooling."""

from afa import VideoFeatures

from .interface.baseline import Baseline, Clips
from .interface.registry import register


@register("max")
class Max(Baseline):
    """Temporal maximum: each channel's strongest response over the frames.

    Chunks of a long tracklet are averaged, because a maximum has no weights to be merged by.
    """

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        return VideoFeatures(frames, frames.amax(dim=1))

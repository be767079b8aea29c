"""The one rule for a baseline: clips in, an embedding a time step and one coherence vector out."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from afa import VideoFeatures
from baselines.backbones import Backbone

from .errors import UserError


class Clips(NamedTuple):
    """A batch of clips on the device, augmented and normalised.

    frames: (B, T, 3, H, W) float, ImageNet-normalised RGB.
    flow: (B, T, 2, H, W) float, (u, v) in pixels a frame, where the baseline asks for it.
    """

    frames: Tensor
    flow: Tensor | None = None


class Baseline(nn.Module, ABC):
    """A temporal model over a backbone. A subclass is one file here or a plug-in; it sets `channels` if D is not the backbone's.

    Attributes:
        uses_flow: whether `forward` reads `clips.flow`.
        takes_video: whether the backbone may be a video network.
        channels: D, the length of an embedding.
    """

    uses_flow: ClassVar[bool] = False
    takes_video: ClassVar[bool] = False

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        if backbone.video and not self.takes_video:
            raise UserError(f"backbone: a video network, which {type(self).__name__} cannot take; --method cnn3d does")
        self.backbone = backbone
        self.channels = backbone.channels

    @abstractmethod
    def forward(self, clips: Clips) -> VideoFeatures:
        """Embeddings (B, T, D) and coherence (B, D), through `afa.disentangle` unless the model says better."""

    def embed(self, frames: Tensor) -> Tensor:
        """Each frame by itself: (B, T, 3, H, W) to (B, T, D), the backbone's map averaged over the image."""
        batch, steps = frames.shape[:2]
        return self.backbone(frames.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, (batch, steps))

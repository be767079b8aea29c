"""`flow` and `flow-only`: a second network of the same kind looks at the optical flow between neighbouring frames.

Two streams as Simonyan and Zisserman (2014) have them, fused at every time step as the paper's iLIDS-VID row needs it; what
the paper leaves open about the fusion stands in docs/paper-notes.md.
"""

import copy

import torch
from torch import Tensor

from afa import VideoFeatures, disentangle

from .backbones import Backbone
from .baseline import Baseline, Clips
from .registry import register

# Flow enters in these units, by which it is about as large as normalised pixels: a hundredth of the image's height a frame.
UNIT = 0.01


@register("flow-only")
class FlowOnly(Baseline):
    """The backbone on flow images alone: each time step is the motion from a frame to the next."""

    uses_flow = True

    def forward(self, clips: Clips) -> VideoFeatures:
        assert clips.flow is not None
        return disentangle(self.embed(flow_images(clips.flow)))


@register("flow")
class TwoStreams(Baseline):
    """Appearance and flow, each by a backbone of its own; a time step's embedding is both, one after the other."""

    uses_flow = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.motion = FlowOnly(copy.deepcopy(backbone))
        self.channels = 2 * backbone.channels

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(torch.cat([self.embed(clips.frames), self.motion(clips).frames], dim=2))


def flow_images(flow: Tensor) -> Tensor:
    """Flow (B, T, 2, H, W) in pixels a frame as images (B, T, 3, H, W) of u, v and speed (Gkioxari and Malik, 2015), so that
    a backbone and its ImageNet weights take them as they are."""
    scaled = flow / (UNIT * flow.shape[-2])
    speed = scaled.square().sum(dim=2, keepdim=True).sqrt()
    return torch.cat([scaled, speed], dim=2)

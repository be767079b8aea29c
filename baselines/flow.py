"""`flow` and `flow-only`: a second network of the same kind reads the optical flow around each frame.

Two streams after Simonyan and Zisserman (2014), fused at every time step, as the paper's iLIDS-VID row needs. What the paper
leaves open about the fusion is in docs/paper-notes.md.
"""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone, widen_input

# The unit of the flow input, a hundredth of the image's height per frame: values are then about as large as normalised pixels.
UNIT = 0.01
STACK = 5  # flow fields per time step, its own in the middle, as in Wang et al. (2016)


@register("flow-only")
class FlowOnly(Baseline):
    """The backbone on stacks of optical flow alone, one stack per time step.

    Family: optical flow
    Source: the motion stream of `flow`
    """

    flow_fields = STACK
    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        widen_input(backbone, 2 * STACK)

    def forward(self, clips: Clips) -> VideoFeatures:
        assert clips.flow is not None
        return disentangle(self.embed(stacks(clips.flow)))


@register("flow")
class TwoStreams(Baseline):
    """Appearance and optical flow, each through its own backbone; the two embeddings of a time step are concatenated.

    Each is divided by its root mean square over the channels, so that neither dominates.

    Family: optical flow
    Source: after Simonyan and Zisserman, NIPS 2014
    """

    flow_fields = STACK
    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.motion = FlowOnly(copy.deepcopy(backbone))
        self.channels = 2 * backbone.channels

    def forward(self, clips: Clips) -> VideoFeatures:
        streams = (self.embed(clips.frames), self.motion(clips).frames)
        return disentangle(torch.cat([F.rms_norm(each, each.shape[-1:]) for each in streams], dim=2))


def stacks(flow: Tensor) -> Tensor:
    """Flow (B, T, L, 2, H, W), in pixels per frame, to the channels of one image per time step, (B, T, 2 L, H, W), in UNITs."""
    return (flow / (UNIT * flow.shape[-2])).flatten(2, 3)

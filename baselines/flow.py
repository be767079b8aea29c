"""`flow` and `flow-only`: a second network of the same kind looks at the optical flow around each frame.

Two streams as Simonyan and Zisserman (2014) have them, fused at every time step as the paper's iLIDS-VID row needs it; what
the paper leaves open about the fusion stands in docs/paper-notes.md.
"""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone, widen_input

# Flow enters in these units, by which it is about as large as normalised pixels: a hundredth of the image's height a frame.
UNIT = 0.01
STACK = 5  # fields of flow that a time step sees, itself in the middle, as Wang et al. (2016) have them


@register("flow-only")
class FlowOnly(Baseline):
    """The backbone on stacks of flow alone: each time step is how things move around it."""

    uses_flow = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        widen_input(backbone, 2 * STACK)

    def forward(self, clips: Clips) -> VideoFeatures:
        assert clips.flow is not None
        return disentangle(self.embed(stacks(clips.flow)))


@register("flow")
class TwoStreams(Baseline):
    """Appearance and flow, each by a backbone of its own; a time step's embedding is both, one after the other.

    Each is divided by its root mean square over the channels, so that neither drowns the other.
    """

    uses_flow = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.motion = FlowOnly(copy.deepcopy(backbone))
        self.channels = 2 * backbone.channels

    def forward(self, clips: Clips) -> VideoFeatures:
        streams = (self.embed(clips.frames), self.motion(clips).frames)
        return disentangle(torch.cat([F.rms_norm(each, each.shape[-1:]) for each in streams], dim=2))


def stacks(flow: Tensor) -> Tensor:
    """Flow (B, T, 2, H, W) in pixels a frame as what each time step sees, (B, T, 2 STACK, H, W): the fields from
    STACK // 2 before it to as many after it, in UNITs. Beyond a clip's ends its first and last are repeated."""
    steps = flow.shape[1]
    here, offsets = (torch.arange(count, device=flow.device) for count in (steps, STACK))
    around = (here.unsqueeze(1) + offsets - STACK // 2).clamp(0, steps - 1)  # (T, STACK)
    return (flow / (UNIT * flow.shape[-2]))[:, around].flatten(2, 3)

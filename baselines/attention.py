"""`attention`: frames weighted by temporal attention, after Gao and Nevatia (2018)."""

import torch
from torch import nn

from afa import VideoFeatures, disentangle

from .interface.backbone import Backbone
from .interface.baseline import Baseline, Clips
from .interface.registry import register


@register("attention")
class Attention(Baseline):
    """Frames weighted by temporal attention over neighbouring frames, after Gao and Nevatia (2018).

    A frame's score is a linear reduction of its embedding, then a convolution of width 3 over time; its weight is the
    exponential of the score, which normalised over the clip is the softmax. Weights start equal.

    Family: weights of frames
    Source: after Gao and Nevatia, BMVC 2018
    """

    def __init__(self, backbone: Backbone, hidden: int = 256) -> None:
        super().__init__(backbone)
        self.reduce = nn.Linear(self.channels, hidden)
        self.over_time = nn.Conv1d(hidden, 1, kernel_size=3, padding=1)
        nn.init.zeros_(self.over_time.weight)

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        scores = self.over_time(torch.relu(self.reduce(frames)).transpose(1, 2)).squeeze(1)
        return disentangle(frames, scores.clamp(-20, 20).exp())  # e^20 leaves room in float32 for any sum

"""`attention-map`: temporal attention that reads the map of a frame, after the released code of Gao and Nevatia (2018).

With m^t the last map of frame t, h x w positions, and ReLU after both layers:

    r^t = ReLU(conv_{h x w}(m^t))            256 channels: each position has its own weights
    s^t = ReLU(conv_3(r)^t)                  over three neighbouring frames, one channel
    w^t = exp(s^t)

X^t is the average of m^t, X_C the mean by w, which is the softmax over the clip; D is the backbone's. All layers start as torch
initialises them. `attention` is the simpler form: a linear layer on X^t, a score without ReLU, and equal weights at the start.

Choices: the backbone. The code's entry for this model builds mean pooling instead, so its published results say nothing about
it. At test the code normalises the weights within each clip of 4 frames (`test_clips=filled`). Images at test must have the
size of those in training.
"""

import torch
from torch import nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .layers.placement import output_shapes

WIDTH = 256


@register("attention-map")
class MapAttention(Baseline):
    """Frames weighted by temporal attention that sees where in a frame something is (Gao and Nevatia, 2018).

    Family: weights of frames
    Source: Gao and Nevatia, BMVC 2018, released code
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        ((_, height, width),) = output_shapes(backbone, [list(backbone.stages)[-1]], backbone.image_size)
        self.reduce = nn.Conv2d(self.channels, WIDTH, (height, width))
        self.over_time = nn.Conv1d(WIDTH, 1, kernel_size=3, padding=1)

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.backbone(clips.frames.flatten(0, 1), steps)
        reduced = torch.relu(self.reduce(maps)).flatten(1).unflatten(0, (batch, steps))
        scores = torch.relu(self.over_time(reduced.transpose(1, 2))).squeeze(1)
        frames = self.backbone.pool(maps).unflatten(0, (batch, steps))
        return disentangle(frames, scores.clamp(max=20).exp())  # e^20 leaves room in float32 for any sum

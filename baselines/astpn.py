"""`astpn`: Attentive Spatial-Temporal Pooling of Xu et al. (ICCV 2017), each clip paired with itself, after its released code.

    r_t = W dropout(pyramid(tanh(1x1 convolution of the last map to 32)))    maxima over 8 x 8, 4 x 4, 2 x 2 and 1 x 1 cells
    s_t = r_t + V dropout(tanh(s_t-1)),  s_0 = 0                             X^t, D = 128
    A = tanh(P U G^T),  a = softmax_t max_j A(t, j),  X_C = sum_t a_t s_t    P = G = the s_t of the clip

In the paper each sequence of a pair attends to the other. Here a clip attends to itself in training too, as in the released
code at test, so a tracklet has one vector. The attention remains, but it is not joint over two sequences. As A is between -1
and 1, the largest ratio of two weights is e^2.

Choices: the pyramid reads the backbone's last map, first reduced to 32 channels, instead of three convolutions with 32 maps on
images of 56 x 40 pixels. Optical flow, two of their five input channels, is left out. The first step has the bias of V, where
the code learns a separate one. Losses are the trainer's; the paper has a hinge on the distance of a pair and two softmaxes.
Distances are not summed over 16 crops and mirror images. A tracklet is one clip at test (`test_clips` is "whole"), as the state
is carried and every frame is matched with all others; the code takes at most 128 frames.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

REDUCED, WIDTH, DROPOUT = 32, 128, 0.6
PYRAMID = (8, 4, 2, 1)  # cells along each side of the map


@register("astpn")
class AttentivePooling(Baseline):
    """A recurrent layer over pyramid-pooled frames, each weighted by how well it matches another frame of its clip.

    Family: weights of frames
    Source: ASTPN: Xu et al., ICCV 2017, released code
    """

    reads_order = True
    test_clips = "whole"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        self.reduce = nn.Conv2d(backbone.channels, REDUCED, 1)
        cells = sum(level * level for level in PYRAMID)
        self.embedding = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(REDUCED * cells, WIDTH))
        self.recurrence = nn.Sequential(nn.Tanh(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, WIDTH))
        self.matching = nn.Parameter(torch.empty(WIDTH, WIDTH).uniform_(-(WIDTH**-0.5), WIDTH**-0.5))

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = torch.tanh(self.reduce(self.backbone(clips.frames.flatten(0, 1), steps)))
        pyramid = torch.cat([F.adaptive_max_pool2d(maps, level).flatten(1) for level in PYRAMID], dim=1)
        inputs = self.embedding(pyramid).unflatten(0, (batch, steps))
        states = [torch.zeros_like(inputs[:, 0])]
        for step in range(steps):
            states.append(inputs[:, step] + self.recurrence(states[-1]))
        frames = torch.stack(states[1:], dim=1)
        return disentangle(frames, attend(frames, frames, self.matching)[0])


def attend(probe: Tensor, gallery: Tensor, matching: Tensor) -> tuple[Tensor, Tensor]:
    """Unnormalised weights of the frames of two sequences that attend to each other.

    Args:
        probe, gallery: (B, T, D) and (B, S, D), the states P and G.
        matching: U, (D, D).

    Returns:
        (B, T) and (B, S): exp of each frame's best match, from 1 / e to e.
    """
    affinity = torch.tanh(probe @ matching @ gallery.transpose(1, 2))
    return affinity.amax(dim=2).exp(), affinity.amax(dim=1).exp()

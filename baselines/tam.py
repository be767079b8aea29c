"""`tam`: the Temporal Attention Model of Zhou, Huang, Wang, Wang and Tan (CVPR 2017), after notes on the paper; no official code.

    a_t,i = softmax_i v . tanh(U h_t-1 + W x_i)        at each of T steps, over all frames i
    s_t = sum_i a_t,i x_i
    X^t = h_t = tanh(P s_t + Q h_t-1),  h_0 = 0        D = 512
    X_C = mean_t h_t

X^t belongs to a step of attention, not to a frame. No weights. A clip is read as a set: h_t is the same in any order of frames.

The notes give the softmax, the sum and the mean, and say that the network is recurrent. Choices: the form of the score, a plain
recurrent layer, its width, the beginning at zero, and x_i, the backbone's embedding in the place of CaffeNet's fc7. The paper's
second part, SRM, which compares the maps of two tracklets, is not in it, nor its loss; the triplet and the identity loss are the
trainer's.
"""

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH, HIDDEN = 512, 256


@register("tam")
class TemporalAttention(Baseline):
    """A recurrent layer that attends over all frames of the clip at each step; its states are averaged.

    Family: recurrence
    Source: after TAM: Zhou et al., CVPR 2017, notes on the paper
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        self.from_frame = nn.Linear(backbone.channels, HIDDEN)
        self.from_state = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.score = nn.Linear(HIDDEN, 1, bias=False)
        self.cell = nn.RNNCell(backbone.channels, WIDTH)

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        keys, states = self.from_frame(frames), [frames.new_zeros(len(frames), WIDTH)]
        for _ in range(frames.shape[1]):
            seen = (self.attend(keys, states[-1]).unsqueeze(1) @ frames).squeeze(1)
            states.append(self.cell(seen, states[-1]))
        return disentangle(torch.stack(states[1:], dim=1))

    def attend(self, keys: Tensor, state: Tensor) -> Tensor:
        """a_t: (B, T) of sum 1, from W x_i (B, T, HIDDEN) and h_t-1 (B, WIDTH)."""
        return self.score(torch.tanh(keys + self.from_state(state).unsqueeze(1))).squeeze(2).softmax(dim=1)

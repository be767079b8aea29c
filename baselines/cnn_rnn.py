"""`cnn-rnn`: the recurrent convolutional network of McLaughlin, Martinez del Rincon and Miller (CVPR 2016), after its code.

    f_t = F dropout(r_t)                                        r_t the backbone's embedding of a frame and the flow at it
    X^t = o_t = f_t + W dropout(tanh(o_t-1)),  o_1 = f_1 + b    D = 128, b learned
    X_C = mean_t o_t

The backbone's first convolution takes two more channels, horizontal and vertical flow, whose weights start at zero, so that it
starts on frames alone. No weights.

A tracklet is one clip at test (`test_clips` is "whole"), as the state is carried; the code takes at most 128 frames, the first of
one camera's tracklet and the last of the other's.

Choices: the backbone, three small convolutions in the code. RGB instead of YUV. Flow in hundredths of the image's height per
frame, by DIS or RAFT instead of Lucas-Kanade; the code divides each channel by a fourth root of its variance, which looks like an
error. Losses are the trainer's, where the code has a hinge on the distance of a pair and two softmaxes, and distances are not
summed over 16 crops and mirror images.

`rnn` is this without flow, without dropout of the state, and without b.
"""

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .flow import stacks
from .interface.backbone import Backbone

WIDTH, DROPOUT = 128, 0.6


class Recurrence(nn.Module):
    """o_t: embeddings (B, T, C) to (B, T, WIDTH)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(channels, WIDTH))
        self.feedback = nn.Sequential(nn.Tanh(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, WIDTH, bias=False))
        self.start = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, embeddings: Tensor) -> Tensor:
        first, *others = self.embedding(embeddings).unbind(dim=1)
        outputs = [first + self.start]
        for each in others:
            outputs.append(each + self.feedback(outputs[-1]))
        return torch.stack(outputs, dim=1)


@register("cnn-rnn")
class RecurrentConvolutional(Baseline):
    """Frames with optical flow as two more channels, through a recurrent layer; the outputs are averaged.

    Family: recurrence
    Source: CNN+RNN: McLaughlin et al., CVPR 2016, released code
    """

    flow_fields = 1
    reads_order = True
    test_clips = "whole"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        first = next(iter(backbone.convolutions.values()))
        colour = first.weight.detach()
        first.in_channels = colour.shape[1] + 2
        first.weight = nn.Parameter(torch.cat([colour, torch.zeros_like(colour[:, :2])], dim=1))
        self.recurrence = Recurrence(backbone.channels)

    def forward(self, clips: Clips) -> VideoFeatures:
        assert clips.flow is not None
        return disentangle(self.recurrence(self.embed(torch.cat([clips.frames, stacks(clips.flow)], dim=2))))

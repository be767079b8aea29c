"""`lstm-both`: the LSTM of `lstm`, which is also given how each frame's embedding differs from its clip's mean."""

import torch
from torch import nn

from afa import VideoFeatures, disentangle
from baselines.backbones import Backbone
from baselines.baseline import Baseline, Clips
from baselines.registry import register


@register("lstm-both")
class LstmBoth(Baseline):
    """An LSTM over embeddings (dropout 0.6) and, normalised over the batch, their differences from the clip's mean."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.change = nn.BatchNorm1d(backbone.channels, affine=False)
        self.recurrent = nn.LSTM(2 * backbone.channels, 512, batch_first=True)
        self.dropout = nn.Dropout(0.6)
        self.channels = 512

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        change = frames - frames.mean(dim=1, keepdim=True)
        change = self.change(change.flatten(0, 1)).unflatten(0, frames.shape[:2])
        outputs, _ = self.recurrent(torch.cat([self.dropout(frames), change], dim=2))
        return disentangle(outputs)

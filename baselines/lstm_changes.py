"""`lstm-changes`: an LSTM over the changes of frame embeddings, concatenated with a projection of them. Our own variant."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH = 512  # of each half, as in Gao and Nevatia (2018)
DROPOUT = 0.2  # on the input of the layer; 0.6, as for embeddings, leaves too little of a rhythm to learn from


@register("lstm-changes")
class LstmChanges(Baseline):
    """An LSTM over the normalised changes of frame embeddings, concatenated with a projection of them; averaged over time.

    Over a clip the constant part of an embedding is much larger than the rest: an LSTM on embeddings alone learned nothing where
    only motion tells people apart. So the layer sees each embedding's `change`, and the constant part takes a path of its own.
    At each time step both are divided by their root mean square over the channels, as in `flow`, so that neither dominates, and
    concatenated.

    Family: recurrence
    Source: ours
    """

    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = nn.LSTM(backbone.channels, WIDTH, batch_first=True)
        self.direct = nn.Linear(backbone.channels, WIDTH, bias=False)
        self.channels = 2 * WIDTH

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        outputs, _ = self.recurrent(self.dropout(change(frames)))
        return disentangle(torch.cat([F.rms_norm(each, (WIDTH,)) for each in (self.direct(frames), outputs)], dim=2))


def change(frames: Tensor) -> Tensor:
    """Each embedding's difference from the mean of its clip, (B, T, D), each channel divided by its deviation over the clip.

    The apparent size of a motion depends on the camera; its rhythm does not.
    """
    motion = disentangle(frames).motion
    return motion * (motion.square().mean(dim=1, keepdim=True) + 1e-5).rsqrt()

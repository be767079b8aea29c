"""`lstm`, `gru`, `rnn`: frame embeddings through a recurrent layer, its outputs averaged over time (McLaughlin et al., 2016)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle

from .backbones import Backbone
from .baseline import Baseline, Clips
from .registry import register

WIDTH = 512  # of the recurrent layer, as in Gao and Nevatia (2018)
DROPOUT = 0.6  # on the embeddings, as in McLaughlin et al. (2016)


class _Recurrent(Baseline):
    """Embeddings, dropout, one recurrent layer; its output at each time step, and beside it a linear path, are the embedding.

    Beside an embedding the layer is given `change` of it. What stays over a clip is much larger than what moves, and an LSTM on
    embeddings alone was seen to learn nothing where only motion tells people apart. The linear path, a residual connection as
    in Kim et al. (2017), carries past the layer's saturating units what needs no memory: without it an LSTM that is given
    motion was seen to lose a third of the people whom nothing but their clothes tell apart.
    """

    layer: ClassVar[type[nn.LSTM | nn.GRU | nn.RNN]]

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = self.layer(2 * backbone.channels, WIDTH, batch_first=True)
        self.direct = nn.Linear(backbone.channels, WIDTH, bias=False)
        nn.init.normal_(
            self.direct.weight, std=0.1 / backbone.channels**0.5
        )  # small: it begins as the recurrent layer alone
        self.channels = WIDTH

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        outputs, _ = self.recurrent(torch.cat([self.dropout(frames), change(frames)], dim=2))
        return disentangle(outputs + self.direct(frames))


def change(frames: Tensor) -> Tensor:
    """How each embedding differs from its clip's mean, (B, T, D), every channel in units of its deviation over the clip.

    How large a motion looks depends on the camera, and its rhythm does not.
    """
    motion = disentangle(frames).motion
    return motion * (motion.square().mean(dim=1, keepdim=True) + 1e-5).rsqrt()


@register("lstm")
class Lstm(_Recurrent, Baseline):
    """Frame embeddings and their changes through an LSTM, its outputs averaged over time."""

    layer = nn.LSTM


@register("gru")
class Gru(_Recurrent, Baseline):
    """Frame embeddings and their changes through a gated recurrent unit, its outputs averaged over time."""

    layer = nn.GRU


@register("rnn")
class Rnn(_Recurrent, Baseline):
    """Frame embeddings and their changes through a plain recurrent layer, its outputs averaged over time."""

    layer = nn.RNN

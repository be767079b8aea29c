"""`lstm`, `gru`, `rnn`: frame embeddings through a recurrent layer, its outputs averaged over time (McLaughlin et al., 2016)."""

from typing import ClassVar

from torch import nn

from afa import VideoFeatures, disentangle

from .backbones import Backbone
from .baseline import Baseline, Clips
from .registry import register

WIDTH = 512  # of the recurrent layer, as in Gao and Nevatia (2018)
DROPOUT = 0.6  # on its input, as in McLaughlin et al. (2016)


class _Recurrent(Baseline):
    """Embeddings, dropout, one recurrent layer; the output at each time step is that step's embedding."""

    layer: ClassVar[type[nn.LSTM | nn.GRU | nn.RNN]]

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = self.layer(backbone.channels, WIDTH, batch_first=True)
        self.channels = WIDTH

    def forward(self, clips: Clips) -> VideoFeatures:
        outputs, _ = self.recurrent(self.dropout(self.embed(clips.frames)))
        return disentangle(outputs)


@register("lstm")
class Lstm(_Recurrent, Baseline):
    """Frame embeddings through an LSTM, its outputs averaged over time."""

    layer = nn.LSTM


@register("gru")
class Gru(_Recurrent, Baseline):
    """Frame embeddings through a gated recurrent unit, its outputs averaged over time."""

    layer = nn.GRU


@register("rnn")
class Rnn(_Recurrent, Baseline):
    """Frame embeddings through a plain recurrent layer, its outputs averaged over time."""

    layer = nn.RNN

"""`lstm`, `rnn` as published, and `gru` after them: a recurrent layer over frame embeddings, outputs averaged over time."""

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone


class _Recurrent(Baseline):
    """A recurrent layer over the frame embeddings; its output at each time step is an embedding."""

    reads_order = True
    layer: ClassVar[type[nn.LSTM | nn.GRU | nn.RNN]]
    width: ClassVar[int]  # of the output
    share: ClassVar[float]  # of the layer's input that is dropped

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(self.share)
        self.recurrent = self.layer(backbone.channels, self.width, batch_first=True)
        self.channels = self.width

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.outputs(self.dropout(self.embed(clips.frames))))

    def outputs(self, inputs: Tensor) -> Tensor:
        """(B, T, C) to (B, T, width)."""
        return self.recurrent(inputs)[0]


@register("lstm")
class Lstm(_Recurrent, Baseline):
    """An LSTM over frame embeddings, outputs averaged over time (Gao and Nevatia, 2018).

    Family: recurrence
    Source: Gao and Nevatia, BMVC 2018, released code
    """

    layer, width, share = nn.LSTM, 512, 0.0


@register("gru")
class Gru(_Recurrent, Baseline):
    """A gated recurrent unit over frame embeddings, outputs averaged over time; our variant of `lstm`.

    Family: recurrence
    Source: ours, after `lstm`
    """

    layer, width, share = nn.GRU, 512, 0.0


@register("rnn")
class Rnn(_Recurrent, Baseline):
    """A plain recurrent layer over frame embeddings, outputs averaged over time (McLaughlin et al., 2016).

    Family: recurrence
    Source: McLaughlin et al., CVPR 2016, released code
    """

    layer, width, share = nn.RNN, 128, 0.6

    def outputs(self, inputs: Tensor) -> Tensor:
        """o_t = W x_t + b + V tanh(o_(t-1)): the paper averages what the layer has before its tanh, which is only fed back."""
        layer: Any = self.recurrent
        before = F.pad(layer(inputs)[0][:, :-1], (0, 0, 1, 0))  # tanh(o_(t-1)), 0 at the first step
        return F.linear(inputs, layer.weight_ih_l0, layer.bias_ih_l0) + F.linear(
            before, layer.weight_hh_l0, layer.bias_hh_l0
        )

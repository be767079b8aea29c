"""`lstm`, `gru`, `rnn`: frame embeddings through a recurrent layer, its outputs averaged over time (McLaughlin et al., 2016)."""

from typing import ClassVar

from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH = 512  # of the recurrent layer, as in Gao and Nevatia (2018)
DROPOUT = 0.2  # on what the layer is given


class _Recurrent(Baseline):
    """One recurrent layer over how the embeddings change; its output at each time step, and beside it a linear path.

    The layer is given each embedding's `change` and not the embedding itself. What stays over a clip is much larger than what
    moves: an LSTM on embeddings alone was seen to learn nothing where only motion tells people apart, and one on both to learn
    the training clips by heart, by what they look like. What stays goes by the linear path, a residual connection as in Kim et
    al. (2017), which also carries past the layer's saturating units what needs no memory.

    McLaughlin et al. (2016) drop 0.6 of the embeddings. Of changes, that leaves too little of a rhythm to be learned.
    """

    layer: ClassVar[type[nn.LSTM | nn.GRU | nn.RNN]]

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = self.layer(backbone.channels, WIDTH, batch_first=True)
        self.direct = nn.Linear(backbone.channels, WIDTH, bias=False)
        nn.init.normal_(
            self.direct.weight, std=0.1 / backbone.channels**0.5
        )  # small: it begins as the recurrent layer alone
        self.channels = WIDTH

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        outputs, _ = self.recurrent(self.dropout(change(frames)))
        return disentangle(outputs + self.direct(frames))


def change(frames: Tensor) -> Tensor:
    """How each embedding differs from its clip's mean, (B, T, D), every channel in units of its deviation over the clip.

    How large a motion looks depends on the camera, and its rhythm does not.
    """
    motion = disentangle(frames).motion
    return motion * (motion.square().mean(dim=1, keepdim=True) + 1e-5).rsqrt()


@register("lstm")
class Lstm(_Recurrent, Baseline):
    """How frame embeddings change through an LSTM, its outputs and the embeddings averaged over time."""

    layer = nn.LSTM


@register("gru")
class Gru(_Recurrent, Baseline):
    """How frame embeddings change through a gated recurrent unit, its outputs and the embeddings averaged over time."""

    layer = nn.GRU


@register("rnn")
class Rnn(_Recurrent, Baseline):
    """How frame embeddings change through a plain recurrent layer, its outputs and the embeddings averaged over time."""

    layer = nn.RNN

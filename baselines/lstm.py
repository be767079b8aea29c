"""`lstm`, `gru`, `rnn`: a recurrent layer over frame embeddings, outputs averaged over time (McLaughlin et al., 2016)."""

from typing import ClassVar

from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH = 512  # of the recurrent layer, as in Gao and Nevatia (2018)
DROPOUT = 0.2  # on the input of the layer


class _Recurrent(Baseline):
    """A recurrent layer over the changes of the embeddings, and a linear path beside it; their sum at each time step.

    The input of the layer is each embedding's `change` and not the embedding. Over a clip the constant part of an embedding is
    much larger than the rest: an LSTM on embeddings alone learned nothing where only motion tells people apart, and an LSTM on
    both memorised the training clips by their looks. The constant part takes the linear path, a residual connection as in Kim
    et al. (2017), which also bypasses the saturating units of the layer.

    McLaughlin et al. (2016) use dropout 0.6 on embeddings. On changes it leaves too little of a rhythm to learn from.
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
    """Each embedding's difference from the mean of its clip, (B, T, D), each channel divided by its deviation over the clip.

    The apparent size of a motion depends on the camera; its rhythm does not.
    """
    motion = disentangle(frames).motion
    return motion * (motion.square().mean(dim=1, keepdim=True) + 1e-5).rsqrt()


@register("lstm")
class Lstm(_Recurrent, Baseline):
    """An LSTM over the changes of frame embeddings; its outputs and the embeddings are averaged over time."""

    layer = nn.LSTM


@register("gru")
class Gru(_Recurrent, Baseline):
    """A gated recurrent unit over the changes of frame embeddings; its outputs and the embeddings are averaged over time."""

    layer = nn.GRU


@register("rnn")
class Rnn(_Recurrent, Baseline):
    """A plain recurrent layer over the changes of frame embeddings; its outputs and the embeddings are averaged over time."""

    layer = nn.RNN

"""`lstm-residual`: frame embeddings plus an LSTM over their changes. Our own variant."""

from torch import nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .lstm_changes import DROPOUT, WIDTH, change


@register("lstm-residual")
class LstmResidual(Baseline):
    """Each frame embedding plus a projection of an LSTM over the normalised changes of the embeddings; averaged over time.

    The layer sees what `lstm-changes` shows it. Its projected output is scaled to the root mean square of the embedding over the
    channels, so that neither dominates. Nothing is projected away: what does not change stays as `mean` has it.

    Family: recurrence
    Source: ours
    """

    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.dropout = nn.Dropout(DROPOUT)
        self.recurrent = nn.LSTM(backbone.channels, WIDTH, batch_first=True)
        self.project = nn.Linear(WIDTH, backbone.channels, bias=False)
        self.channels = backbone.channels

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.embed(clips.frames)
        outputs, _ = self.recurrent(self.dropout(change(frames)))
        size = (frames.square().mean(dim=2, keepdim=True) + 1e-6).sqrt()
        return disentangle(frames + size * F.rms_norm(self.project(outputs), (self.channels,)))

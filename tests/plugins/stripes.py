"""A plug-in baseline with block weights, a classifier and a loss of its own: horizontal stripes, each with its own quality."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface import Backbone, Baseline, Clips, register

STRIPES = 3


@register("stripes")
class Stripes(Baseline):
    """Three stripes of each frame, each averaged over time by a quality of its own."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = STRIPES * backbone.channels
        self.quality = nn.Linear(backbone.channels, 1)

    def add_heads(self, classes: int) -> None:
        channels = self.backbone.channels
        self.classifier = nn.Sequential(nn.BatchNorm1d(channels), nn.Dropout(0.2), nn.Linear(channels, classes))

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.backbone(clips.frames.flatten(0, 1), steps)
        stripes = F.adaptive_avg_pool2d(maps, (STRIPES, 1)).squeeze(3).transpose(1, 2).unflatten(0, (batch, steps))
        quality = torch.sigmoid(self.quality(stripes)).squeeze(-1)
        return disentangle(stripes.flatten(2), quality, {"stripes": stripes})

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:
        whole = features.extras["stripes"].mean(dim=(1, 2))
        return {"stripes": 0.5 * F.cross_entropy(self.classifier(whole), labels)}

"""`qan`: the Quality Aware Network of Liu, Yan and Ouyang (CVPR 2017), as section 4.4 attaches AFA to it."""

import torch
from torch import nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone


@register("qan")
class QualityAware(Baseline):
    """Frames weighted by a quality score from intermediate features, normalised over the set.

    A score is sigmoid(w . m + b), m the average over the image of the map before the backbone's last stage. The coherence
    is the quality-weighted mean. Scores start equal: the head is zero at first, so that training begins as `mean`.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.quality = nn.Linear(backbone.middle_channels, 1)
        nn.init.zeros_(self.quality.weight)
        nn.init.zeros_(self.quality.bias)

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        middle, last = self.backbone.maps(clips.frames.flatten(0, 1), steps)
        frames = self.backbone.pool(last).unflatten(0, (batch, steps))
        quality = torch.sigmoid(self.quality(middle.mean(dim=(2, 3)))).reshape(batch, steps)
        return disentangle(frames, quality)

"""`qan`: the Quality Aware Network of Liu, Yan and Ouyang (CVPR 2017), as section 4.4 attaches AFA to it; `qan-grid`.

QAN as published classifies every image by itself: run it with `classification=frames`. Its quality then learns from the losses
on the whole clip alone.

Choices: the quality branch reads the map before the backbone's last stage, later than the branches of the released code, which
read the image or an early map. Those flatten their maps, so that the branch sees where in the image something is; `qan` averages
its map over the image, and `qan-grid` pools it to a grid. Losses and distance are the trainer's, where QAN has a hinge of
squared distances between unit vectors.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone


@register("qan")
class QualityAware(Baseline):
    """Frames weighted by a quality score from intermediate features, normalised over the set.

    A score is sigmoid(w . m + b), m the average over the image of the map before the backbone's last stage. The coherence
    is the quality-weighted mean. Scores start equal: the head is zero at first, so that training begins as `mean`.

    Attributes:
        grid: rows and columns to which the map is pooled before the linear layer.
        cuts: where the image is cut into regions from top to bottom, in heights of the image. D is the backbone's times the
            number of regions.

    Family: weights of frames
    Source: QAN*: Liu et al., CVPR 2017, as in the paper's section 4.4
    """

    grid: ClassVar[tuple[int, int]] = (1, 1)
    cuts: ClassVar[tuple[float, ...]] = (0, 1)

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        regions, (rows, columns) = len(self.cuts) - 1, self.grid
        self.channels = regions * backbone.channels
        self.quality = nn.Linear(backbone.middle_channels * rows * columns, regions)
        nn.init.zeros_(self.quality.weight)
        nn.init.zeros_(self.quality.bias)

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        middle, last = self.backbone.maps(clips.frames.flatten(0, 1), steps)
        frames = torch.cat([self.backbone.pool(region) for region in self.regions(last)], dim=1)
        quality = torch.sigmoid(self.quality(F.adaptive_avg_pool2d(middle, self.grid).flatten(1)))
        return disentangle(frames.unflatten(0, (batch, steps)), quality.unflatten(0, (batch, steps)).squeeze(2))

    def regions(self, maps: Tensor) -> list[Tensor]:
        """The regions of maps (N, C, h, w), each (N, C, rows, w), of at least one row."""
        height = maps.shape[2]
        edges = [round(cut * height) for cut in self.cuts]
        return [maps[:, :, min(top, height - 1) : max(bottom, top + 1)] for top, bottom in pairwise(edges)]


@register("qan-grid")
class QualityAwareGrid(QualityAware):
    """`qan` with a quality that also sees where something is: from a grid of 4 x 2 averages instead of one.

    Family: weights of frames
    Source: QAN: Liu et al., CVPR 2017, released code
    """

    grid = (4, 2)

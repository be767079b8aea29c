"""`tks`: Temporal Kernel Selection, a part of BiCnet-TKS of Hou, Chang, Ma, Huang and Shan (CVPR 2021), after its released code.

After layer2 of ResNet-50 each map is averaged to P_t, 4 x 2 cells. Two convolutions over time, kernel 3 with dilation 1 and 2,
see a short and a long stretch of the clip, and each channel of a clip chooses between them:

    Y_n = convolution_n(P),  z = mean of Y_1 + Y_2 over time and cells
    a_n = softmax_n of A_n ReLU(BN(R z))                 R to C / 16 channels
    A_t <- A_t + BN(a_1 Y_1,t + a_2 Y_2,t)               repeated over each cell; BN starts at zero: training begins as `mean`

X^t is the pooled last map, X_C their mean; D is the backbone's, no weights.

Left out is the rest of the system, BiCnet: one frame of four at full resolution and the others at half, a loss that makes
their maps differ, and a weighted mean. So this is not the published system, only its model of time.

Choices: beyond the ends of a clip the convolutions read zeros. Another backbone has it after the second stage before its last,
or after its first. The code takes the maximum over the image and a cosine triplet after the neck, and clips of 8 frames, 4
apart: `pooling=max`, `triplet_feature=after`, `triplet_distance=cosine`, `margin=0.5`, `clip_frames=8`,
`sampling=consecutive`, `spacing=4`, `test_chunk=8`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.placement import output_shapes

CELLS = (4, 2)
DILATIONS = (1, 2)
REDUCTION = 16


@register("tks")
class TemporalKernels(Baseline):
    """A short and a long convolution over time inside the backbone, between which each channel chooses; then the mean.

    Family: convolution over time
    Source: part of BiCnet-TKS: Hou et al., CVPR 2021, released code
    """

    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        stage = list(backbone.stages)[-3:][0]
        ((channels, _, _),) = output_shapes(backbone, [stage])
        backbone.insert_after(stage, KernelSelection(channels))

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))


class KernelSelection(TemporalLayer):
    """Adds to the maps of a clip what two convolutions over time see, mixed channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(1, channels // REDUCTION)
        self.over_time = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=each, dilation=each, bias=False) for each in DILATIONS
        )
        self.reduce = nn.Sequential(nn.Linear(channels, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.choose = nn.Linear(width, len(DILATIONS) * channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + F.interpolate(self.norm(self.mixed(F.adaptive_avg_pool2d(maps, CELLS))), maps.shape[2:])

    def mixed(self, averages: Tensor) -> Tensor:
        """a_1 Y_1,t + a_2 Y_2,t of P_t, both (B * T, C, 4, 2)."""
        cells = averages.unflatten(0, (-1, self.steps))  # (B, T, C, 4, 2)
        series = cells.permute(0, 3, 4, 2, 1)
        seen = torch.stack(
            [convolution(series.flatten(0, 2)).view(series.shape) for convolution in self.over_time], dim=1
        )  # (B, 2, 4, 2, C, T)
        shares = self.shares(seen)[:, :, None, None, :, None]
        return (shares * seen).sum(dim=1).permute(0, 4, 3, 1, 2).flatten(0, 1)

    def shares(self, seen: Tensor) -> Tensor:
        """a_n (B, 2, C), of sum 1 over n: of Y_n (B, 2, 4, 2, C, T)."""
        scores: Tensor = self.choose(self.reduce(seen.sum(dim=1).mean(dim=(1, 2, 4)))).unflatten(
            1, (len(DILATIONS), -1)
        )
        return scores.softmax(dim=1)

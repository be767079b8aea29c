"""`psta`: Pyramid Spatial-Temporal Aggregation of Wang, Zhang, Gao, Geng, Lu and Wang (ICCV 2021), after notes on its code.

Frames are merged two by two, three times. With a, b two neighbouring maps (a 1x1 convolution to 1,024 channels, batch
normalisation and ReLU after the backbone), i and j positions, q and k convolutions to an eighth of the channels:

    n_ab(i) = [q(a)_i . k(b)_j for all j, q(b)_j . k(a)_i for all j]     affinities in both directions, 2 h w numbers
    alpha_a(i) = sigmoid(w . [E(a, b)_i, ReLU(BN(W n_ab(i)))])           where the two agree, W to half as many channels
    g_a, g_b = sigmoid(L2 ReLU(L1 [mean a, mean b]))                     a gate of channels; the order of a, b counts
    TRA = ReLU(g_a alpha_a a + g_b alpha_b b)^2
    SRA = the same with n_aa, E(a, a), n_bb, E(b, b) for alpha           what each map has by itself
    out = bottleneck(TRA + SRA)                                          convolutions 1x1, 3x3, 1x1

v_l is the average of level l over its steps and positions, and X_C = (v_1 + v_2 + v_3) / 3, D = 1,024. X^t is the average of
the map of level 1 to which frame t belongs: two neighbouring frames share one. X_C is not their mean, so the motion X^t - X_C
has a bias.

This is not the whole system: it has a neck, a classifier and a triplet for each of v_1, (v_1 + v_2) / 2 and X_C. Here X_C
alone has them, and the trainer's.

W fixes the size of the map: the model takes images of the run's size. T is a multiple of 8: a clip is extended by its last
frame, and a tracklet is cut into clips of `clip_frames` at test.

The notes give the affinities, the three levels, the two forms of alpha, the square, the sum and the three vectors. Choices: E,
a 1x1 convolution with batch normalisation and ReLU on [a, b]; a gate of its own in SRA; the widths of E and of the bottleneck,
an eighth and a quarter; batch normalisation and ReLU after each convolution of the bottleneck, and no shortcut. A backbone of
fewer than 1,024 channels keeps its own number. The code takes clips of 8 frames, 8 apart where the tracklet is long enough,
and a cosine triplet after the neck: `clip_frames=8`, `sampling=consecutive`, `spacing=8`, `triplet_feature=after`,
`triplet_distance=cosine`, `margin=0.3`, `label_smoothing=0.1`.
"""

import torch
from torch import Tensor, nn

from afa import VideoFeatures
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .layers.placement import output_shapes

WIDTH, LEVELS = 1024, 3


@register("psta")
class Pyramid(Baseline):
    """Maps merged two by two, three times, weighted by where and in which channels they agree.

    Family: attention between frames
    Source: after PSTA: Wang et al., ICCV 2021, notes on the code
    Needs: the image size of its training
    """

    reads_order = True
    test_clips = "exact"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        ((channels, *size),) = output_shapes(backbone, [list(backbone.stages)[-1]], backbone.image_size)
        self.channels = min(WIDTH, channels)
        self.reduce = convolution(channels, self.channels, 1)
        self.levels = nn.ModuleList(Merge(self.channels, size[0] * size[1]) for _ in range(LEVELS))

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.reduce(self.backbone(clips.frames.flatten(0, 1), steps)).unflatten(0, (batch, steps))
        maps = torch.cat([maps, maps[:, -1:].expand(-1, -steps % 2**LEVELS, -1, -1, -1)], dim=1)
        vectors = []
        for merge in self.levels:
            maps = merge(maps[:, ::2].flatten(0, 1), maps[:, 1::2].flatten(0, 1)).unflatten(0, (batch, -1))
            vectors.append(maps.mean(dim=(3, 4)))
        coherence = torch.stack([each.mean(dim=1) for each in vectors]).mean(dim=0)
        return VideoFeatures(vectors[0].repeat_interleave(2, dim=1)[:, :steps], coherence)


class Merge(nn.Module):
    """Two maps become one.

    Args:
        channels: of the maps.
        cells: h w.
    """

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.between, self.within = (Agreement(channels, cells) for _ in range(2))
        width = channels // 4
        self.bottleneck = nn.Sequential(
            convolution(channels, width, 1), convolution(width, width, 3), convolution(width, channels, 1)
        )

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(N, C, h, w) twice to once."""
        across = self.between.merge(one, other, self.between.where(one, other), self.between.where(other, one))
        alone = self.within.merge(one, other, self.within.where(one, one), self.within.where(other, other))
        merged: Tensor = self.bottleneck(across + alone)
        return merged


class Agreement(nn.Module):
    """Where, and in which channels, two maps agree."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.cells, width = cells, channels // 8
        self.query, self.key = (nn.Conv2d(channels, width, 1, bias=False) for _ in range(2))
        self.embedding = convolution(2 * channels, width, 1)
        self.affinity = convolution(2 * cells, cells, 1)
        self.score = nn.Conv2d(width + cells, 1, 1)
        self.gate = nn.Sequential(
            nn.Linear(2 * channels, width), nn.ReLU(), nn.Linear(width, 2 * channels), nn.Sigmoid()
        )

    def where(self, one: Tensor, other: Tensor) -> Tensor:
        """alpha of `one`, (N, 1, h, w), from 0 to 1.

        Raises:
            UserError: another h w than the weights were made for.
        """
        if one.shape[2] * one.shape[3] != self.cells:
            raise UserError(
                f"psta was built for maps of {self.cells} cells, and cannot take one of {one.shape[2]} x {one.shape[3]}; use the "
                "height and width of its training"
            )
        inputs = [self.embedding(torch.cat([one, other], dim=1)), self.affinity(self.affinities(one, other))]
        return torch.sigmoid(self.score(torch.cat(inputs, dim=1)))

    def affinities(self, one: Tensor, other: Tensor) -> Tensor:
        """n (N, 2 h w, h, w): of each position of `one`, with all of `other` as the query and as the key."""
        queries, keys = ([part(each).flatten(2) for each in (one, other)] for part in (self.query, self.key))
        there = keys[1].transpose(1, 2) @ queries[0]  # (N, j of other, i of one)
        back = queries[1].transpose(1, 2) @ keys[0]
        return torch.cat([there, back], dim=1).unflatten(2, one.shape[2:])

    def merge(self, one: Tensor, other: Tensor, where_one: Tensor, where_other: Tensor) -> Tensor:
        """The two maps, each weighted by where it agrees and by a gate of its channels; squared, so not negative."""
        means = torch.cat([one.mean(dim=(2, 3)), other.mean(dim=(2, 3))], dim=1)
        gate_one, gate_other = self.gate(means)[..., None, None].chunk(2, dim=1)
        return torch.relu(gate_one * where_one * one + gate_other * where_other * other).square()


def convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """A convolution that keeps the size of the map, batch normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)  # keeps the scale of what it reads, which the square otherwise makes tiny
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())

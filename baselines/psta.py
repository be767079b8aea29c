"""`psta`: Pyramid Spatial-Temporal Aggregation of Wang, Zhang, Gao, Geng, Lu and Wang (ICCV 2021), after its released code.

Frames are merged two by two, three times. a and b are two neighbouring maps: the backbone's, after a 1x1 convolution to 1,024
channels, batch normalisation and ReLU. i and j are positions; q and k convolutions to an eighth of the channels; E two of them,
to a quarter and to an eighth; P one to half of its inputs; c_a = ReLU(L mean(a)) the average of a map, reduced to an eighth:

    n_ab(i) = [q(a)_i . k(b)_j for all j, q(b)_j . k(a)_i for all j]     affinities in both directions, 2 h w numbers
    alpha_a(i) = sigmoid(BN(w . [P [E(a), E(b)]_i, W n_ab(i)]))          where the two agree; W halves the channels
    g_a = sigmoid(M2 ReLU(M1 [c_a, c_b]))                                a gate for each channel; that of b reads [c_b, c_a]
    TRA = ReLU(g_a alpha_a a + g_b alpha_b b)^2
    alpha'_a(i) = sigmoid(BN(w' . V [E(a)_i, W' n_aa(i)]))               with its own q, k, W: what one map shows alone
    g'_a = sigmoid(N2 ReLU(N1 mean(a)))
    SRA = ReLU(g'_a alpha'_a a + g'_b alpha'_b b)
    out = bottleneck(TRA + SRA)                                          convolutions 1x1, 3x3, 1x1, a quarter as wide inside

q, k, E, P, V, W and the layers of the bottleneck are convolutions with batch normalisation and ReLU. Nothing depends on which
of the two frames comes first.

v_l is the average of level l over its steps and positions, and X_C = (v_1 + v_2 + v_3) / 3, D = 1,024. X^t is the average of
the map of level 1 to which frame t belongs: two neighbouring frames share one. X_C is not their mean, so the motion X^t - X_C
has a bias.

This is not the whole system, which has a neck, a classifier and a triplet loss for each of v_1, (v_1 + v_2) / 2 and X_C. Here
only X_C has them, and they are the trainer's.

W fixes the size of the map: the model takes images of the run's size. T is a multiple of 8: a clip is extended by repeating its
last frame, and a tracklet is cut into clips of `clip_frames` at test.

Choices: all pairs of a level are normalised together, while the code normalises them one by one. A backbone with fewer than
1,024 channels keeps its own number. The code takes clips of 8 frames, 8 apart where the tracklet is long enough, and a cosine
triplet after the neck: `clip_frames=8`, `sampling=consecutive`, `spacing=8`, `triplet_feature=after`,
`triplet_distance=cosine`, `margin=0.3`, `label_smoothing=0.1`.
"""

from collections.abc import Callable

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
    Source: PSTA with one of its three heads: Wang et al., ICCV 2021, released code
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


Partner = Callable[[Tensor], Tensor]  # gives each map of a batch the one that it is compared with


class Merge(nn.Module):
    """Two maps become one.

    Args:
        channels: of the maps.
        cells: h w.
    """

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        width, wider = channels // 8, channels // 4
        self.embedding = nn.Sequential(convolution(channels, wider, 1), convolution(wider, width, 1))
        self.between, self.within = (Affinities(channels, cells) for _ in range(2))
        self.pair = convolution(2 * width, width, 1)
        self.where_they_agree = score(width + cells)
        self.where_alone = nn.Sequential(convolution(width + cells, width, 1), score(width))
        self.squeeze = nn.Linear(channels, width, bias=False)
        self.gate_of_pair, self.gate_alone = (
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, channels), nn.Sigmoid())
            for inputs in (2 * width, channels)
        )
        self.bottleneck = nn.Sequential(
            convolution(channels, wider, 1), convolution(wider, wider, 3), convolution(wider, channels, 1)
        )

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Two maps (N, C, h, w) to one.

        Raises:
            UserError: another h w than the weights were made for.
        """
        maps = torch.cat([one, other])  # each layer sees both at once
        embedded, means = self.embedding(maps), maps.mean(dim=(2, 3))
        across = self.together(self.agreement(maps, embedded), maps, self.pair_gate(means)).square()
        alone = self.where_alone(torch.cat([embedded, self.within(maps, lambda each: each)], dim=1))
        merged: Tensor = self.bottleneck(across + self.together(alone, maps, self.gate_alone(means)))
        return merged

    def agreement(self, maps: Tensor, embedded: Tensor) -> Tensor:
        """alpha, (2 N, 1, h, w), from 0 to 1."""
        pairs = self.pair(torch.cat([embedded, swap(embedded)], dim=1))
        scores: Tensor = self.where_they_agree(torch.cat([pairs, self.between(maps, swap)], dim=1))
        return scores

    def pair_gate(self, means: Tensor) -> Tensor:
        """g, (2 N, C), from 0 to 1."""
        squeezed = torch.relu(self.squeeze(means))
        gates: Tensor = self.gate_of_pair(torch.cat([squeezed, swap(squeezed)], dim=1))
        return gates

    @staticmethod
    def together(where: Tensor, maps: Tensor, gates: Tensor) -> Tensor:
        """The positive part of the sum of two maps, each weighted by position and by channel."""
        one, other = (gates[..., None, None] * where * maps).chunk(2)
        return torch.relu(one + other)


class Affinities(nn.Module):
    """How similar each position of a map is to all positions of its partner."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.query, self.key = (convolution(channels, channels // 8, 1) for _ in range(2))
        self.joint = convolution(2 * cells, cells, 1)

    def forward(self, maps: Tensor, partner: Partner) -> Tensor:
        """(2 N, C, h, w) to (2 N, h w, h, w).

        Raises:
            UserError: another h w than the weights were made for.
        """
        height, width = maps.shape[2:]
        if height * width != self.cells:
            raise UserError(
                f"psta was built for maps of {self.cells} cells, and cannot take one of {height} x {width}; use the height and "
                "width of its training"
            )
        joint: Tensor = self.joint(self.products(maps, partner))
        return joint

    def products(self, maps: Tensor, partner: Partner) -> Tensor:
        """n, (2 N, 2 h w, h, w): products of each position with all of the partner, first as keys and then as queries."""
        queries, keys = self.query(maps).flatten(2), self.key(maps).flatten(2)
        there = partner(keys).transpose(1, 2) @ queries
        back = partner(queries).transpose(1, 2) @ keys
        return torch.cat([there, back], dim=1).unflatten(2, maps.shape[2:])


def swap(halves: Tensor) -> Tensor:
    """The second half of a batch, then the first."""
    return halves.roll(len(halves) // 2, dims=0)


def score(inputs: int) -> nn.Sequential:
    """One number from 0 to 1 for each position."""
    return nn.Sequential(nn.Conv2d(inputs, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid())


def convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    """A convolution that keeps the size of the map, batch normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)  # keeps the scale of the input, which the square would make tiny
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())

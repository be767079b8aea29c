"""`bicnet`: BiCnet-TKS of Hou, Chang, Ma, Huang and Shan (CVPR 2021), after its released code.

Of every four frames the first is seen in detail ("h"), and the other three ("l") at half its size, for context: after the
stem, max-pooling halves their maps. All go through the same layers, with the same batch normalisations, in two passes.

- After each of layer1 to layer3, a 1x1 convolution of the halved maps of h, to 3 C channels, gives C to each of its three l.
- After layer2, the temporal kernels of `tks` see all frames in order, each averaged to 4 x 2 cells.
- After layer3, each frame attends to one of 8 horizontal stripes ("DAO"): p = softmax of a score of each stripe, and the
  stripes' mean by p is added to the whole map after a batch normalisation that starts at zero, one for each place in a group.
  The score is the mean over the channels for h and the first l; for the other two it is a 1x1 convolution to one channel, an
  8 x 8 matrix over the stripes and a batch normalisation.

    X_C = mean_h X^t / 2 + mean_l X^t / 2                 weights 3 for h and 1 for l
    divergence = mean over pairs of (p_1, p_2, p_3) of |R R^T - I|_F / 4,  R = [sqrt p_i; sqrt p_j]

X^t is the pooled last map; D is the backbone's. The loss `divergence`, of weight 0.01, makes the maps of the three l differ;
p_1 passes no gradient.

Choices: T that 4 does not divide is extended by the last frame, whose copies have no weight. Another backbone has its first
stage for the stem, the kernels after the second stage before its last, and DAO before its last stage. The code takes the maximum
over the image, a cosine triplet after the neck, and clips of 8 frames, 4 apart: `pooling=max`, `triplet_feature=after`,
`triplet_distance=cosine`, `margin=0.5`, `clip_frames=8`, `sampling=consecutive`, `spacing=4`, as the recipe `tks` has them.
"""

from itertools import combinations
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .layers.placement import output_shapes
from .tks import CELLS, KernelSelection

GROUP, STRIPES = 4, 8  # frames, of which the first is h; stripes of a map
WEIGHTS = (3.0, 1.0, 1.0, 1.0)  # of the frames of a group
DIVERGENCE_WEIGHT = 0.01


@register("bicnet")
class TwoResolutions(Baseline):
    """One frame of four in detail, the others at half its size and made to see other regions; kernels over time; a weighted mean.

    Family: complementary frames
    Source: BiCnet-TKS: Hou et al., CVPR 2021, released code
    """

    reads_order = True
    test_clips = "exact"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        names = list(backbone.stages)
        channels = dict(zip(names, (shape[0] for shape in output_shapes(backbone, names)), strict=True))
        self.exchange = nn.ModuleDict(
            {name: nn.Conv2d(channels[name], (GROUP - 1) * channels[name], 1, bias=False) for name in names[1:-1]}
        )
        self.kernels_behind, self.stripes_behind = names[-3:][0], names[-2]
        self.kernels = KernelSelection(channels[self.kernels_behind])
        self.stripes = Stripes(channels[self.stripes_behind])

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        frames = clips.frames[:, torch.arange(-(-steps // GROUP) * GROUP).clamp(max=steps - 1)]
        groups = frames.flatten(0, 1).unflatten(0, (-1, GROUP))
        detail, context = groups[:, 0], groups[:, 1:].flatten(0, 1)  # (B * G, ...) and (B * G * 3, ...)
        self.kernels.steps = frames.shape[1]
        shares = detail
        for number, (name, stage) in enumerate(self.backbone.stages.items()):
            detail, context = stage(detail), stage(context)
            if number == 0:
                context = halved(context)
            if name in self.exchange:
                given = self.exchange[name](halved(detail)).unflatten(1, (GROUP - 1, -1)).flatten(0, 1)
                context = context + given
            if name == self.kernels_behind:
                detail, context = self.over_time(detail, context)
            if name == self.stripes_behind:
                detail, context, shares = self.stripes(detail, context)
        vectors = torch.cat(
            [self.backbone.pool(detail).unsqueeze(1), self.backbone.pool(context).unflatten(0, (-1, GROUP - 1))], 1
        )
        ordered = vectors.flatten(0, 1).unflatten(0, (batch, -1))[:, :steps]
        weights = vectors.new_tensor(WEIGHTS).repeat(frames.shape[1] // GROUP)[:steps].expand(batch, -1)
        return disentangle(ordered, weights, {"stripes": shares.unflatten(0, (batch, -1))})

    def over_time(self, detail: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Both kinds of maps with what the temporal kernels see of all frames in order."""
        large, small = (F.adaptive_avg_pool2d(each, CELLS) for each in (detail, context))
        cells = torch.cat([large.unsqueeze(1), small.unflatten(0, (-1, GROUP - 1))], dim=1)
        mixed = self.kernels.mixed(cells.flatten(0, 1)).view_as(cells)
        added = [self.kernels.norm(each) for each in (mixed[:, 0], mixed[:, 1:].flatten(0, 1))]  # in two passes
        detail = detail + F.interpolate(added[0], detail.shape[2:])
        return detail, context + F.interpolate(added[1], context.shape[2:])

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - needs no labels
        first, *others = features.extras["stripes"].unbind(dim=2)  # (B, G, 8) each, logarithms
        pairs = combinations((first.detach(), *others), 2)
        return {"divergence": DIVERGENCE_WEIGHT * torch.stack([divergence(*pair).mean() for pair in pairs]).mean()}


class Stripes(nn.Module):
    """Adds to each map the stripe that it attends to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(
            nn.Sequential(nn.Conv1d(channels, 1, 1), nn.Flatten(), nn.Linear(STRIPES, STRIPES), nn.BatchNorm1d(STRIPES))
            for _ in range(GROUP - 2)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(GROUP))
        for norm in self.norms:
            nn.init.zeros_(cast(nn.BatchNorm1d, norm).weight)

    def forward(self, detail: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The two kinds of maps, and log p of the three l of each group, (B * G, 3, 8)."""
        large, small = (F.adaptive_avg_pool2d(each, (STRIPES, 1)).squeeze(3) for each in (detail, context))
        stripes = torch.cat([large.unsqueeze(1), small.unflatten(0, (-1, GROUP - 1))], dim=1)  # (B * G, 4, C, 8)
        scores = [*stripes[:, :2].mean(dim=2).unbind(1)]
        scores += [score(stripes[:, number]) for number, score in enumerate(self.scores, 2)]
        shares = torch.stack(scores, dim=1).float().log_softmax(dim=2)
        attended = torch.einsum("gnk,gnck->gnc", shares.exp().to(stripes.dtype), stripes)
        added = torch.stack([norm(each) for norm, each in zip(self.norms, attended.unbind(1), strict=True)], dim=1)
        added = added[..., None, None]
        return detail + added[:, 0], context + added[:, 1:].flatten(0, 1), shares[:, 1:]


def halved(maps: Tensor) -> Tensor:
    """The maxima of 2 x 2 cells. Odd sizes are rounded up, as by a convolution of stride 2: so both kinds of maps still fit."""
    return F.max_pool2d(maps, 2, ceil_mode=True)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """|R R^T - I|_F / 4 of two shares, given by their logarithms (..., 8), to (...): from 0, disjoint, to sqrt(2) / 4, equal."""
    # The diagonal of R R^T is 1; its two other entries are the overlap. No root of a share, which has no gradient at 0.
    return 2**0.5 / 4 * ((one + other) / 2).exp().sum(dim=-1)

"""`tam-srm`: TAM with the Spatial Recurrent Model of Zhou et al. (CVPR 2017), after notes on the paper; no official code.

`tam` embeds a clip; SRM compares the maps of two tracklets by recurrent layers that sweep over the image. With M_a the mean
map of tracklet a over time, and f_k one of six sweeps, each with weights of its own:

    R = |M_a - M_b|
    f_k(i) = ReLU(W_k R(i) + U_k f_k(i - step_k))        step_k: right, left, down, up, and down both diagonals
    P(two people) = sigmoid(v . ReLU(W ReLU(convolution [f_1 ... f_6])))

The loss `srm` is the binary cross-entropy over the pairs of a batch. At test the distance is the mean of half the Euclidean
distance of the unit vectors of TAM, which is from 0 to 1, and of P. `matcher=none` compares the embeddings instead.

Matchers and losses receive only embeddings, so M is a part of them: X^t = [h_t, M], D = 512 + 1,024, h_t and the mean over
time as in `tam`. M is the same in each step. It has no motion, and AFA leaves it as it is, but unlike the paper's, the
trainer's triplet and identity losses see M as well as TAM's vector.

The notes give the difference of the two maps, the six sweeps (their steps from memory), a convolution, a fully connected
layer, the two losses and the weighted sum of both distances. Choices: the map has 32 channels and 8 x 4 cells, and norm 1 in
each frame, so that it weighs little in the triplet; the absolute difference, by which SRM is symmetric; all widths; all pairs
of a batch, those of one person and of two with equal weight in all; the loss with weight 1; both distances with equal weight.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures
from baselines.interface.baseline import Clips
from baselines.interface.matcher import Matcher
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .tam import WIDTH, TemporalAttention

MAP = (32, 8, 4)  # channels, rows, columns of M
SIZE = MAP[0] * MAP[1] * MAP[2]
SWEEP, HIDDEN = 16, 64  # channels of a sweep, and of the layers behind the sweeps
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1))  # (rows, columns) from one cell to the next
SHARE_OF_TAM = 0.5  # of the distance


@register("tam-srm")
class TemporalAttentionAndMaps(TemporalAttention):
    """`tam` with the mean map; a spatial recurrent model compares the maps of two tracklets.

    Family: recurrence
    Source: after TAM+SRM: Zhou et al., CVPR 2017, notes on the paper
    Needs: its own matcher at test
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH + SIZE
        self.reduce = nn.Conv2d(backbone.channels, MAP[0], 1)
        self.srm = SpatialRecurrence()
        self.matcher = MapMatcher(self.srm)

    def forward(self, clips: Clips) -> VideoFeatures:
        maps = self.backbone(clips.frames.flatten(0, 1), clips.frames.shape[1])
        cells = F.normalize(F.adaptive_avg_pool2d(self.reduce(maps), MAP[1:]).flatten(1), dim=1)
        mean_map = cells.unflatten(0, clips.frames.shape[:2]).mean(dim=1)
        states = super().forward(Clips(self.backbone.pool(maps).unflatten(0, clips.frames.shape[:2]))).frames
        steps = mean_map.unsqueeze(1).expand(-1, states.shape[1], -1)
        return VideoFeatures(torch.cat([states, steps], dim=2), torch.cat([states.mean(dim=1), mean_map], dim=1))

    def embed(self, frames: Tensor) -> Tensor:
        """What `tam` reads, (B, T, D): embeddings already, as the same pass of the backbone gives them and the maps."""
        return frames

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:
        one, other = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
        maps, different = features.coherence[:, WIDTH:], labels[one] != labels[other]
        errors = F.binary_cross_entropy_with_logits(
            self.srm(maps[one], maps[other]), different.to(maps.dtype), reduction="none"
        )
        kinds = [errors[each] for each in (different, ~different) if each.any()]
        return {"srm": torch.stack([each.mean() for each in kinds]).mean()}


class SpatialRecurrence(nn.Module):
    """Whether two maps show two people."""

    def __init__(self) -> None:
        super().__init__()
        channels, rows, columns = MAP
        self.inputs = nn.Conv2d(channels, len(STEPS) * SWEEP, 1)
        self.recurrent = nn.ModuleList(nn.Linear(SWEEP, SWEEP, bias=False) for _ in STEPS)
        self.merge = nn.Conv2d(len(STEPS) * SWEEP, SWEEP, 3, padding=1)
        self.hidden = nn.Linear(SWEEP * rows * columns, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Logits (N,) of two people, of N pairs of flat maps (N, SIZE) of norm 1 or less."""
        difference = (one - other).abs().unflatten(1, MAP) * SIZE**0.5  # numbers of about 1
        inputs = self.inputs(difference).chunk(len(STEPS), dim=1)
        swept = [self.sweep(each, number) for number, each in enumerate(inputs)]
        merged = torch.relu(self.merge(torch.cat(swept, dim=1)))
        logits: Tensor = self.score(torch.relu(self.hidden(merged.flatten(1)))).squeeze(1)
        return logits

    def sweep(self, inputs: Tensor, number: int) -> Tensor:
        """f_k (N, SWEEP, rows, columns), k = `number`: from W_k R of that shape. Beyond the map, f_k is zero."""
        rows, columns = STEPS[number]
        along, back = (3, columns < 0) if not rows else (2, rows < 0)  # whole columns or rows at once
        lines = list(inputs.unbind(along))
        states: list[Tensor] = []
        for line in reversed(lines) if back else lines:  # (N, SWEEP, cells)
            before = states[-1] if states else torch.zeros_like(line)
            if rows and columns:
                before = F.pad(before, (1, 0))[..., :-1] if columns > 0 else F.pad(before, (0, 1))[..., 1:]
            states.append(torch.relu(line + self.recurrent[number](before.transpose(1, 2)).transpose(1, 2)))
        return torch.stack(states[::-1] if back else states, dim=along)


class MapMatcher(Matcher):
    """The mean of the distance of two TAM vectors and the probability, by their maps, of two people."""

    def __init__(self, srm: SpatialRecurrence) -> None:
        self.srm = srm

    def describe(self, frames: Tensor, weights: Tensor | None, coherence: Tensor) -> Tensor:  # noqa: ARG002
        """(D,): the TAM vector with norm 1, and the map."""
        return torch.cat([F.normalize(coherence[:WIDTH], dim=0), coherence[WIDTH:]])

    def stack(self, descriptions: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(descriptions))

    @torch.no_grad()
    def compare(self, query: Tensor, gallery: Tensor) -> Tensor:
        device = self.srm.score.weight.device
        vectors = torch.linalg.vector_norm(gallery[:, :WIDTH] - query[:WIDTH], dim=1) / 2
        maps = gallery[:, WIDTH:].to(device)
        two_people = torch.sigmoid(self.srm(query[WIDTH:].to(device).expand_as(maps), maps)).cpu()
        return SHARE_OF_TAM * vectors + (1 - SHARE_OF_TAM) * two_people

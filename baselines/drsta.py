"""`drsta`: Diversity Regularized Spatiotemporal Attention of Li, Bak, Carr and Wang (CVPR 2018), after its released code.

K = 6 spatial attention maps S_k find K parts of the body in each frame (1x1 convolution to 64, batch normalisation, ReLU, 1x1
convolution to K, batch normalisation, softmax over the cells). A part is x_k^t = normalised(W sum_cells S_k^t f^t), W to 128
channels and shared by the parts. X^t is their concatenation, D = 768. Over time part k has weights of its own,
exp(u_k . x_k^t) / sum_t exp(u_k . x_k^t).

The loss `diversity` keeps the maps apart: |R R^T - I|_F, R = sqrt(S), whose entries off the diagonal are the overlaps of two
maps (Bhattacharyya coefficients). The sources contradict each other: the paper squares the norm of each image, the code takes
one root over the sum of the whole batch. This is the norm of each image, averaged over the images, with the code's weight of
1: it does not depend on the size of the batch.

Choices: the module of the temporal attention was not released; the linear scores u_k are ours, after notes on the paper, and
start at zero. The released code has K = 3 by default; the paper's best is said to be 6. The code's map has stride 32; set
`last_stride=2` for it. The backbone is not trained on images of people first, as the paper's is. Losses are the trainer's,
where the paper has OIM. At test the code takes the first frame of each of six parts of a tracklet; here all frames count.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

PARTS, HIDDEN, WIDTH = 6, 64, 128
DIVERSITY_WEIGHT = 1.0


@register("drsta")
class DiversityRegularised(Baseline):
    """Parts of the body found by spatial attention, kept apart by a loss, each weighted over time by itself.

    Family: weights of frames
    Source: after DRSTA: Li et al., CVPR 2018, part of the code
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = PARTS * WIDTH
        # The maps must start different: parts that are all alike stay alike.
        self.attention = nn.Sequential(
            nn.Conv2d(backbone.channels, HIDDEN, 1, bias=False),
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, PARTS, 1, bias=False),
            nn.BatchNorm2d(PARTS),
        )
        self.embedding = nn.Linear(backbone.channels, WIDTH)
        self.score = nn.Parameter(torch.zeros(PARTS, WIDTH))

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.backbone(clips.frames.flatten(0, 1), steps)
        attention = self.attention(maps).flatten(2).float().log_softmax(dim=2)  # (B * T, K, h * w)
        parts = F.normalize(self.embedding(attention.exp() @ maps.flatten(2).transpose(1, 2)), dim=2)
        weights = (parts * self.score).sum(dim=2).clamp(-20, 20).exp()

        def by_clip(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (batch, steps))

        return disentangle(by_clip(parts.flatten(1)), by_clip(weights), {"attention": by_clip(attention)})

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - needs no labels
        return {"diversity": DIVERSITY_WEIGHT * overlap(features.extras["attention"]).mean()}


def overlap(attention: Tensor) -> Tensor:
    """|R R^T - I|_F of K maps: logarithms (..., K, cells) of maps of sum 1, to (...). From 0, disjoint, to sqrt(K (K - 1))."""
    roots = (attention / 2).exp()  # from the logarithm: the root of a map has no finite gradient where the map is zero
    affinity = roots @ roots.transpose(-1, -2)
    diagonal = torch.eye(attention.shape[-2], dtype=torch.bool, device=attention.device)  # one but for rounding
    return torch.linalg.matrix_norm(affinity.masked_fill(diagonal, 0))

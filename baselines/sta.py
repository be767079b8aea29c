"""`sta`: Spatial-Temporal Attention of Fu, Wang, Wei and Huang (AAAI 2019), after notes on the paper; it has no official code.

With maps f_t (C, h, w) and K = 4 horizontal stripes of equal height:

    g_t = e_t / sum e_t, e_t(h, w) = sum_c f_t(c, h, w)^2     how the energy of a frame is spread over the image
    S(t, k) = s_tk / sum_t s_tk, s_tk = sum of g_t in stripe k    which frame shows a part best
    F1_k = stripe k of the frame argmax_t S(t, k),  F2_k = sum_t S(t, k) f_tk,  X_C = [mean_k F1_k, mean_k F2_k]

f_tk is the average of stripe k. The attention has no parameters. D is twice the backbone's. The loss `inter_frame` is
|g_i - g_j|_F.

A re-implementation (AGRL.pytorch) differs: it takes the root of e and the average of a stripe, and omits the inter-frame loss.
This follows the notes, three of which agree.

Choices: X^t is [m_t, m_t], m_t the average of the frame, so that X_C is not a weighted mean of the X^t. The last fully connected
layer is omitted; the trainer's neck and classifier follow at once. The paper draws two frames i, j at random; the loss is the
mean over all pairs, which a draw gives on average. Its weight is not in the sources; it is 1. The paper's clips have 4 frames
(`clip_frames=4`). The chunks of a long tracklet are averaged by their numbers of frames, as F1 of the whole cannot be told from
theirs.
"""

from math import gcd

import torch
from torch import Tensor
from torch.nn import functional as F

from afa import VideoFeatures
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

STRIPES = 4
INTER_FRAME_WEIGHT = 1.0


@register("sta")
class SpatialTemporalAttention(Baseline):
    """Each horizontal stripe from the frame where it has most energy, and averaged over the frames by its energy.

    Family: weights of frames
    Source: STA: Fu et al., AAAI 2019, notes on the paper
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = 2 * backbone.channels

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.backbone(clips.frames.flatten(0, 1), steps).unflatten(0, (batch, steps))
        energy, stripes = spread(maps), stripe_means(maps, STRIPES).transpose(2, 3)
        best, average = fuse(stripes, scores(energy, STRIPES))
        frames = stripes.mean(dim=2)
        coherence = torch.cat([best.mean(dim=1), average.mean(dim=1)], dim=1)
        return VideoFeatures(torch.cat([frames, frames], dim=2), coherence, extras={"energy": energy.flatten(2)})

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - needs no labels
        return {"inter_frame": INTER_FRAME_WEIGHT * inter_frame_distance(features.extras["energy"])}


def spread(maps: Tensor) -> Tensor:
    """How the energy of each frame is spread over the image, g_t: (B, T, C, h, w) to (B, T, h, w), of sum 1."""
    energy = maps.float().square().sum(dim=2)
    return F.normalize(energy.flatten(2), p=1, dim=2).view_as(energy)


def stripe_means(maps: Tensor, count: int) -> Tensor:
    """The averages over `count` horizontal stripes of equal height, (..., h, w) to (..., count).

    Where `count` does not divide h, a row at the edge of two stripes is shared between them.
    """
    height = maps.shape[-2]
    return maps.repeat_interleave(count // gcd(count, height), dim=-2).unflatten(-2, (count, -1)).mean(dim=(-2, -1))


def scores(energy: Tensor, count: int) -> Tensor:
    """S (B, T, K): the share of each frame in the energy of each of K = `count` stripes; the sum over T is 1."""
    shares = F.normalize(stripe_means(energy, count), p=1, dim=2)  # s_tk
    return F.normalize(shares, p=1, dim=1)


def fuse(stripes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """F1 and F2, each (B, K, C): of stripes (B, T, K, C) the ones with the highest score (B, T, K), and their mean by score."""
    best = scores.argmax(dim=1, keepdim=True).unsqueeze(-1).expand(-1, -1, -1, stripes.shape[-1])
    return stripes.gather(1, best).squeeze(1), (scores.unsqueeze(-1) * stripes).sum(dim=1)


def inter_frame_distance(energy: Tensor) -> Tensor:
    """The distance |g_i - g_j| of two frames of a clip, a mean over all pairs and clips; energy (B, T, h * w)."""
    steps = energy.shape[1]
    distances = torch.cdist(energy, energy, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.sum(dim=(1, 2)).mean() / max(1, steps * (steps - 1))

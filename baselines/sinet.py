"""`sinet`: Salient-to-broad and Integration of Bai, Ma, Chang, Huang and Chen (CVPR 2022), after its released code.

Integration (IDM), after blocks 1 and 3 of ResNet-50's layer2, lets all N = T h w positions of a clip exchange context. With
u = BN(reduce(x)), to C / 16 channels, and L1, L2 linear over the positions, to N / 16 and back:

    x <- ReLU(x + expand(u + L2 BN(L1 u)))     expand starts at zero

Salient-to-broad (SBM), after blocks 1, 3, 5 of layer3 with p = 0, 1, 2: frames 0 to p (the front) decide what is salient. The
later frames are suppressed at those places, which broadens their attention.

    g = SE(x) [mean over the inner map > mean over the whole map]       a gate of channels, its second factor 0 or 1
    K = 3x3 kernel of C channels: 9 weighted means of ReLU(g front)     weights from a 1x1 convolution, BN and ReLU, with sum 1
    f = softmax_i(K * ReLU(g later) / 9),  a = 1 / (f h w),  s = exp(5 (a - 1)) where a < 1, else 1
    later <- s later + 0.1 mean(front),   front <- front + 0.1 sum (1 - s) later / sum (1 - s)

X^t is the pooled last map, X_C their mean; D is the backbone's, no weights. Front and later frames differ by design, and AFA
treats the difference as motion.

L1 fixes T and the size of the map: the model takes clips of `clip_frames` frames, and a tracklet is cut into such clips at test.
As in the code, SBM splits a T that is a multiple of 4 into groups of 4.

Choices: any other T is one group, with p at most T - 2. A stage of one block has its module after it. Convolutions before a
batch normalisation have no bias. On a map of 2 columns or rows the inner map is not cropped in that direction; where nothing is
suppressed the front gains nothing. The contrastive loss of weight 0.001 is left out. The code spreads its clips at test over
the tracklet. It takes the maximum over the image and a cosine triplet after the neck: `pooling=max`, `triplet_feature=after`,
`triplet_distance=cosine`, `margin=0.3`, with `clip_frames=4`, `sampling=restricted`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.placement import middle_blocks, output_shapes

REDUCTION = 16
GROUP = 4  # frames
SIDE = 3  # of the kernel
SHARPNESS, EXCHANGE = 5.0, 0.1


@register("sinet")
class SalientToBroad(Baseline):
    """Later frames are suppressed where earlier ones are salient; all positions of a clip exchange context.

    Family: complementary frames
    Source: SINet: Bai et al., CVPR 2022, released code
    Needs: the T and image size of its training
    """

    reads_order = True
    test_clips = "exact"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        if backbone.clip_frames < 2:
            raise UserError(
                f"clip_frames: {backbone.clip_frames} is too few for sinet, which tells later frames from earlier ones"
            )
        second, third = (blocks[1::2] or blocks for blocks in middle_blocks(backbone))
        shapes = dict(zip(names := [*second, *third], output_shapes(backbone, names, backbone.image_size), strict=True))
        for name in second:
            channels, height, width = shapes[name]
            backbone.insert_after(name, Integration(channels, backbone.clip_frames * height * width))
        for last, name in enumerate(third):
            backbone.insert_after(name, Broaden(shapes[name][0], last))

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))


class Integration(TemporalLayer):
    """Context from all positions of a clip, added to each.

    Args:
        channels: of the maps.
        positions: N = T h w.
    """

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        width, fewer = (max(1, size // REDUCTION) for size in (channels, positions))
        self.positions = positions
        self.reduce = nn.Sequential(nn.Conv1d(channels, width, 1, bias=False), nn.BatchNorm1d(width))
        # Over positions; the channels are the samples.
        self.integrate = nn.Sequential(
            nn.Conv1d(positions, fewer, 1, bias=False), nn.BatchNorm1d(fewer), nn.Conv1d(fewer, positions, 1)
        )
        self.expand = nn.Conv1d(width, channels, 1)
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor) -> Tensor:
        clips = maps.unflatten(0, (-1, self.steps)).transpose(1, 2)  # (B, C, T, h, w)
        if clips[0, 0].numel() != self.positions:
            raise UserError(
                f"sinet was built for clips of {self.positions} positions, and cannot take one of {self.steps} maps of "
                f"{maps.shape[2]} x {maps.shape[3]}; use the clip_frames, height and width of its training"
            )
        reduced = self.reduce(clips.flatten(2))
        mixed = reduced + self.integrate(reduced.transpose(1, 2)).transpose(1, 2)
        context = self.expand(mixed).view(clips.shape).transpose(1, 2).flatten(0, 1)
        return torch.relu(maps + context)


class Broaden(TemporalLayer):
    """Suppresses the later frames of a clip where the front is salient, and lets the two exchange a vector.

    Args:
        channels: of the maps.
        last: p, the number of the last frame of the front.
    """

    def __init__(self, channels: int, last: int) -> None:
        super().__init__()
        self.last = last
        kernels = SIDE * SIDE
        self.attention = nn.Sequential(nn.Conv2d(channels, kernels, 1, bias=False), nn.BatchNorm2d(kernels), nn.ReLU())
        self.excitation = nn.Sequential(
            nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, channels), nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        frames = self.steps if self.steps % GROUP else GROUP
        if frames == 1:
            return maps
        clips = maps.unflatten(0, (-1, frames))  # (B, T, C, h, w)
        cut = min(self.last, frames - 2) + 1
        front, later = clips[:, :cut], clips[:, cut:]
        gate = self.gate(clips)[:, None, :, None, None]
        kept = suppression(self.kernel(torch.relu(front * gate)), torch.relu(later * gate)).unsqueeze(2)
        lost = 1 - kept
        from_later = (lost * later).mean(dim=(1, 3, 4), keepdim=True) / lost.mean(dim=(1, 3, 4), keepdim=True).clamp(
            min=1e-6
        )
        from_front = front.mean(dim=(1, 3, 4), keepdim=True)
        return torch.cat([front + EXCHANGE * from_later, later * kept + EXCHANGE * from_front], dim=1).flatten(0, 1)

    def gate(self, clips: Tensor) -> Tensor:
        """g (B, C): of clips (B, T, C, h, w)."""
        rows, columns = (slice(1, -1) if size > 2 else slice(None) for size in clips.shape[3:])
        whole, inner = (part.mean(dim=(1, 3, 4)) for part in (clips, clips[..., rows, columns]))
        gate: Tensor = self.excitation(whole) * (inner > whole)
        return gate

    def kernel(self, front: Tensor) -> Tensor:
        """K (B, C, 3, 3): of the gated front (B, T, C, h, w)."""
        maps = self.attention(front.flatten(0, 1)).unflatten(0, front.shape[:2])
        shares = F.normalize(F.normalize(maps.transpose(1, 2).flatten(2), p=1, dim=1), p=1, dim=2)  # (B, 9, T h w)
        return (front.transpose(1, 2).flatten(2) @ shares.transpose(1, 2)).unflatten(2, (SIDE, SIDE))


def suppression(kernel: Tensor, later: Tensor) -> Tensor:
    """s (B, T, h, w), from 0 to 1, from one kernel for each clip (B, C, 3, 3) and its gated later frames (B, T, C, h, w)."""
    batch, steps = later.shape[:2]
    padded = F.pad(later.flatten(0, 1), (1, 1, 1, 1), mode="replicate").unflatten(0, (batch, steps))
    found = (
        F.conv2d(padded.transpose(0, 1).flatten(1, 2), kernel, groups=batch).transpose(0, 1) / SIDE**2
    )  # (B, T, h, w)
    shares = found.flatten(2).softmax(dim=2).clamp(min=1e-4)
    relative = (1 / (shares * shares.shape[2])).view(found.shape)
    return torch.exp(SHARPNESS * (relative - 1).clamp(max=0))

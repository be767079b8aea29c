"""`trl`: temporal residual learning after Dai, Zhang, Wang, Lu and Wang (TIP 2019), from its abstract and recollections alone.

    theta_t = L [z_t, mean_s z_s]                  ST2N: an affine transform from the frame's own embedding z_t and its clip's
    x_t = the embedding after the last stage, which reads the map before it, sampled by theta_t
    r_t = x_t - mean_s x_s                         what a frame has beyond the others
    X^t = BiLSTM_1(x)_t + BiLSTM_2(r)_t            generic and specific, each 2 x 256; D = 512
    X_C = mean_t X^t

The abstract says that two bidirectional LSTMs extract what frames share and what each has for itself, and that the transform
uses high-level features of the frame and context from the others. Everything else is our choice: L is two layers with a hidden
width of 64, and starts at the identity. The transform is of the map before the last stage, not of an early one; the last stage
runs twice, once for z_t, which in training moves its running statistics twice. The residual is to the mean of the x_s: a
recollection has the mean of the BiLSTM's outputs, projected, in its place, of which equal frames would leave a residual. The
two parts are added; the paper may concatenate them. No weights. The backbone is not GoogLeNet; the losses are the trainer's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH, HIDDEN = 512, 64
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the rows of an affine transform


@register("trl")
class TemporalResidual(Baseline):
    """Two bidirectional LSTMs, on aligned frames and on what each has beyond their mean; the sum is averaged.

    Family: recurrence
    Source: after TRL: Dai et al., TIP 2019, the abstract
    """

    reads_order = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        last = nn.Linear(HIDDEN, len(IDENTITY))
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor(IDENTITY)
        self.localisation = nn.Sequential(nn.Linear(2 * backbone.channels, HIDDEN), nn.ReLU(), last)
        self.generic, self.specific = (
            nn.LSTM(backbone.channels, WIDTH // 2, batch_first=True, bidirectional=True) for _ in range(2)
        )

    def forward(self, clips: Clips) -> VideoFeatures:
        frames = self.aligned(clips.frames)
        return disentangle(self.generic(frames)[0] + self.specific(disentangle(frames).motion)[0])

    def aligned(self, frames: Tensor) -> Tensor:
        """x_t: (B, T, 3, H, W) to (B, T, C)."""
        batch, steps = frames.shape[:2]
        middle, last = self.backbone.maps(frames.flatten(0, 1), steps)
        seen = self.backbone.pool(last).unflatten(0, (batch, steps))
        context = seen.mean(dim=1, keepdim=True).expand_as(seen)
        transforms = self.localisation(torch.cat([seen, context], dim=2)).flatten(0, 1).unflatten(1, (2, 3))
        with torch.autocast(frames.device.type, enabled=False):  # positions need float32
            moved = sample(middle, transforms)
        return self.backbone.pool(self.backbone.late(moved)).unflatten(0, (batch, steps))


def sample(maps: Tensor, transforms: Tensor) -> Tensor:
    """Maps (N, C, h, w) read at the positions to which affine transforms (N, 2, 3) move those of the output, in float32.

    Positions run from -1 to 1 across the map; beyond its edge the edge is repeated.
    """
    grid = F.affine_grid(transforms.float(), list(maps.shape), align_corners=False)
    return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False)

"""`cosam`: co-segmentation attention of Subramaniam, Nambiar and Mittal (ICCV 2019), after its released code.

What all frames of a clip show is the person. With A_t a map of frame t and d_t(i) its descriptor at position i (1x1 convolution
to 256 channels, batch normalisation, ReLU), minus its mean over the channels and divided by their standard deviation:

    n_t(i; s, j) = d_t(i) . d_s(j) / 256,  all s != t, all j         normalised cross-correlation, (T - 1) h w numbers
    m_t = sigmoid(W2 ReLU(BN(W1 n_t)))                               a mask, W1 to 64 channels
    B_t = m_t A_t,   g = mean_t sigmoid(L2 tanh(L1 mean_i B_t(i)))   a gate that all frames share
    A_t <- B_t + g B_t

Such modules are before and after the backbone's last stage. X^t is the average of the last map, X_C their mean ("TP" in the
paper); D is the backbone's, no weights.

The sources contradict each other: the supplement's pseudo-code gives g B_t alone; the code adds B_t. This follows the code.

W1 fixes T and the size of the map: the model takes clips of `clip_frames` frames of the run's image size, and a tracklet is
cut into such clips at test. Its inputs are sorted by s, so the order of the frames has an effect, although the model is not
designed to read it. `reads_order` is therefore set: recipes then give consecutive frames, as in the code.

Choices: the backbone, SE-ResNet-50 in the best row of the paper. As in the code, descriptors have 64 channels where the map has
256 or fewer. A model of timm is one stage, with none to run between the modules: both mask its last map, one after the other.
"""

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from baselines.interface.registry import register

from .interface.backbone import Backbone, TemporalLayer
from .layers.placement import output_shapes

SUMMARY = 64  # channels to which the correlations are reduced
EPSILON = 1e-4  # added to a standard deviation


@register("cosam")
class CoSegmentation(Baseline):
    """Masks of what each frame has in common with the other frames of its clip, and a channel gate that they share.

    Family: attention between frames
    Source: COSAM: Subramaniam et al., ICCV 2019, released code
    Needs: the T and image size of its training
    """

    reads_order = True
    test_clips = "exact"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        if backbone.clip_frames < 2:
            raise UserError(
                f"clip_frames: {backbone.clip_frames} is too few for cosam, which compares the frames of a clip"
            )
        names = list(backbone.stages)[-2:]
        for name, (channels, height, width) in zip(
            names, output_shapes(backbone, names, backbone.image_size), strict=True
        ):
            backbone.insert_after(name, CoSegment(channels, backbone.clip_frames, height * width))

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.embed(clips.frames))


class CoSegment(TemporalLayer):
    """Masks the maps of a clip by what its frames share, and gates their channels.

    Args:
        channels: of the maps.
        frames: T.
        cells: h w.
    """

    def __init__(self, channels: int, frames: int, cells: int) -> None:
        super().__init__()
        width = 256 if channels > 256 else 64
        self.inputs = frames, cells
        self.describe = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.summarise = nn.Sequential(
            nn.Conv2d((frames - 1) * cells, SUMMARY, 1, bias=False),
            nn.BatchNorm2d(SUMMARY),
            nn.ReLU(),
            nn.Conv2d(SUMMARY, 1, 1),
        )
        self.gate = nn.Sequential(nn.Linear(channels, width), nn.Tanh(), nn.Linear(width, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:
        masked = self.mask(maps) * maps
        return masked * (1 + self.shared_gate(masked))

    def mask(self, maps: Tensor) -> Tensor:
        """m_t: (B * T, C, h, w) to (B * T, 1, h, w).

        Raises:
            UserError: another T or h w than the weights were made for.
        """
        found, (frames, cells) = (self.steps, maps.shape[2] * maps.shape[3]), self.inputs
        if found != self.inputs:
            raise UserError(
                f"cosam was built for clips of {frames} frames with maps of {cells} cells, and cannot take clips of {found[0]} "
                f"frames with {found[1]}; use the clip_frames, height and width of its training"
            )
        descriptors = self.describe(maps).flatten(2).unflatten(0, (-1, self.steps))
        summed = self.summarise(correlations(descriptors).flatten(0, 1).unflatten(2, maps.shape[2:]))
        return torch.sigmoid(summed)

    def shared_gate(self, masked: Tensor) -> Tensor:
        """g, for each frame of a clip the same: (B * T, C, 1, 1)."""
        gates = self.gate(masked.mean(dim=(2, 3))).unflatten(0, (-1, self.steps)).mean(dim=1)
        return gates.repeat_interleave(self.steps, dim=0)[..., None, None]


def correlations(descriptors: Tensor) -> Tensor:
    """Of each position with all positions of the other frames: descriptors (B, T, C, N) to (B, T, (T - 1) N, N)."""
    steps, channels = descriptors.shape[1:3]
    wide = descriptors.float() if descriptors.dtype == torch.bfloat16 else descriptors  # for EPSILON
    normal = (wide - wide.mean(dim=2, keepdim=True)) / (wide.std(dim=2, keepdim=True) + EPSILON)
    pairs = torch.einsum("btci,bscj->btsji", normal, normal) / channels
    frames = torch.arange(steps, device=pairs.device)
    others = frames.expand(steps, steps)[frames.unsqueeze(1) != frames].view(steps, steps - 1)
    return pairs[:, frames.unsqueeze(1), others].flatten(2, 3)

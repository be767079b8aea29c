"""`amoc`: accumulative motion context after Liu, Jie, Jayashree, Qi, Jiang, Yan and Feng (TCSVT 2017), with precomputed flow.

    M_t = two convolutions 5x5 of the flow at frame t, to 16 and 32 channels, each with tanh and a maximum over 2x2
    A_t <- V [A_t, M_t]                       A_t the map after layer1 of ResNet-50, V a 1x1 convolution back to its channels
    X^t = o_t, X_C = mean_t o_t               the recurrence of `cnn-rnn` on the embedding of what follows; D = 128

The system has a motion network that estimates flow from two frames, and that is trained first alone and then with the rest.
Here precomputed optical flow replaces it. What remains is how motion is fused with appearance and accumulated. Frames have no
weights.

The sources are the abstract, a note on the paper and a re-implementation by others; there is no official code. As there are T
flows, there are T steps, not T - 1.

Choices: the convolutions are the first two of `cnn-rnn`'s code, without bias: where nothing moves, M_t is zero. The sources
fuse after the second max-pooling, which has layer1's resolution, and have a 5x5 convolution in the place of V; another backbone
fuses after the fourth stage from its end, or its first. V starts as the identity on A_t. Flow is in hundredths of the image's
height per frame. The test is that of `cnn-rnn`; losses are the trainer's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .cnn_rnn import WIDTH, Recurrence
from .flow import stacks
from .interface.backbone import Backbone
from .layers.placement import output_shapes

MAPS = (16, 32)  # channels of the two convolutions of flow


@register("amoc")
class MotionContext(Baseline):
    """Optical flow joins the map of each frame early in the backbone; a recurrent layer follows, outputs are averaged.

    Family: optical flow
    Source: after AMOC: Liu et al., TCSVT 2017, a note and others' code
    """

    flow_fields = 1
    reads_order = True
    test_clips = "whole"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        self.fused_at = list(backbone.stages)[-4:][0]
        layers: list[nn.Module] = []
        for inputs, outputs in zip((2, *MAPS), MAPS, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 5, padding=2, bias=False), nn.Tanh(), nn.MaxPool2d(2)]
        self.motion = nn.Sequential(*layers)
        ((channels, _, _),) = output_shapes(backbone, [self.fused_at])
        self.fusion = nn.Conv2d(channels + MAPS[-1], channels, 1, bias=False)
        self.fusion.weight.data[:, :channels] = torch.eye(channels)[..., None, None]
        self.recurrence = Recurrence(backbone.channels)

    def forward(self, clips: Clips) -> VideoFeatures:
        assert clips.flow is not None
        maps, motion = clips.frames.flatten(0, 1), self.motion(stacks(clips.flow).flatten(0, 1))
        for name, stage in self.backbone.stages.items():
            maps = stage(maps)
            if name == self.fused_at:
                maps = self.fuse(maps, motion)
        embeddings = self.backbone.pool(maps).unflatten(0, clips.frames.shape[:2])
        return disentangle(self.recurrence(embeddings))

    def fuse(self, maps: Tensor, motion: Tensor) -> Tensor:
        """A_t and M_t, which is brought to the size of A_t, as one map."""
        resized = F.adaptive_avg_pool2d(motion, (maps.shape[2], maps.shape[3]))
        fused: Tensor = self.fusion(torch.cat([maps, resized], dim=1))
        return fused

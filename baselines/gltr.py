"""`gltr`: Global-Local Temporal Representations of Li, Wang, Tian, Gao and Zhang (ICCV 2019), after its released code.

    x_t = W r_t                                        r_t the backbone's embedding, W to 128 channels
    p_t = [x_t, c1_t, c2_t, c3_t]                      c_n a convolution over time: kernel 3, dilation n, no activation; D = 512
    X^t = p_t + BN(W' sum_s softmax_s(theta(p_t) . phi(p_s)) g(p_s))        the non-local block of `nvan`, over time
    X_C = mean_t X^t

The first is for short-term cues, the second relates frames that are far apart. BN starts at zero. No weights.

The sources contradict each other: recollections of the paper give dilations 1, 2, 4; the code has 1, 2, 3. This follows the code.

A tracklet is one clip at test (`test_clips` is "whole"), as in the code: chunks would cut the convolutions and the range of the
attention. A dilation counts frames, so that training needs `sampling=consecutive`.

Choices: the neck and the classifier are the trainer's, without the code's ReLU and dropout between them. The code trains with
cross-entropy alone: set `triplet_weight=0` for it.
"""

import torch
from torch import Tensor, nn

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register

from .interface.backbone import Backbone
from .layers.non_local import NonLocal

WIDTH, DILATIONS = 128, (1, 2, 3)


@register("gltr")
class GlobalLocal(Baseline):
    """Dilated convolutions over time in parallel, then self-attention over the frames of the whole tracklet.

    Family: convolution over time
    Source: GLTR: Li et al., ICCV 2019, released code
    """

    reads_order = True
    test_clips = "whole"

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = (1 + len(DILATIONS)) * WIDTH
        self.reduce = nn.Linear(backbone.channels, WIDTH)
        short = [nn.Conv1d(WIDTH, WIDTH, 3, padding=each, dilation=each, bias=False) for each in DILATIONS]
        for convolution in short:
            nn.init.normal_(convolution.weight, std=0.001)
        self.short = nn.ModuleList(short)
        self.long = NonLocal(self.channels)

    def forward(self, clips: Clips) -> VideoFeatures:
        return disentangle(self.long(self.pyramid(self.embed(clips.frames))).transpose(1, 2))

    def pyramid(self, embeddings: Tensor) -> Tensor:
        """p_t: (B, T, C) to (B, D, T)."""
        frames = self.reduce(embeddings).transpose(1, 2)
        return torch.cat([frames, *(convolution(frames) for convolution in self.short)], dim=1)

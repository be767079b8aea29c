"""`adfdta`: attribute-driven feature disentangling and temporal aggregation, after Zhao, Shen, Jin, Lu and Hua (CVPR 2019).

An embedding has a global block, W f_t of the pooled map f_t, and a block x_it for each attribute i: the average of the map under
the attribute's own spatial attention, then its own linear layer to 256 channels. A linear classifier predicts the attribute's
value from x_it. The less certain the classifier is in a frame, the smaller the weight of the frame's block:

    w_it = exp(-H_it / sigma),  X_C,i = sum_t w_it x_it / sum_t w_it        H_it: the entropy of the classifier's probabilities

The coherence of the global block is the plain mean over the frames. No layer over time is learned. The loss `attribute` is the
mean cross-entropy of the values over frames and known attributes. At test no attributes are needed.

No code was found, and only the abstract and notes by others on the paper could be read. They describe groups of features, each
supervised by attributes, and weights that fall with the entropy.

Choices: the paper has six groups of attributes; here each attribute is a group, because a data set names attributes, not groups.
The entropy is divided by its largest value, the logarithm of the number of values, so that one sigma suits all attributes. sigma
is 1, and so is the weight of the loss. The weights pass no gradient to the classifiers, so these learn only the attributes. The
attention is a 1x1 convolution and a softmax over the map, and starts as the plain average. The paper transfers attributes from
another data set (RAP); here they are those of the training people.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError
from baselines.interface.registry import register

from .interface.backbone import Backbone

WIDTH = 256
UNKNOWN = -1


@register("adfdta")
class AttributeDriven(Baseline):
    """A block of features for each attribute of people, weighted over time by how certain its value is; and a global block.

    Family: weights of frames
    Source: after ADFDTA: Zhao et al., CVPR 2019, the abstract and notes on the paper
    """

    uses_attributes = True

    def __init__(self, backbone: Backbone, *, sigma: float = 1.0, attribute_weight: float = 1.0) -> None:
        super().__init__(backbone)
        if sigma <= 0 or attribute_weight < 0:
            raise UserError("adfdta: sigma must be above 0, and attribute_weight 0 or more")
        self.sigma, self.attribute_weight = sigma, attribute_weight
        self.channels = WIDTH
        self.whole = nn.Linear(backbone.channels, WIDTH)
        self.groups = nn.ModuleList()

    def add_attributes(self, values: Tensor) -> None:
        super().add_attributes(values)
        for count in (values.amax(dim=0) + 1).tolist():
            self.groups.append(AttributeGroup(self.backbone.channels, count))
        self.channels = (1 + len(self.groups)) * WIDTH

    def forward(self, clips: Clips) -> VideoFeatures:
        batch, steps = clips.frames.shape[:2]
        maps = self.backbone(clips.frames.flatten(0, 1), steps)
        blocks, logits = [self.whole(self.backbone.pool(maps))], []
        weights = [torch.ones(batch * steps, device=maps.device)]
        for group in self.groups:
            blocks.append(group(maps))
            logits.append(cast(nn.Linear, group.classifier)(blocks[-1]).float())
            weights.append((-uncertainty(logits[-1].detach()) / self.sigma).exp())

        def by_clip(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (batch, steps))

        extras = {"attributes": by_clip(torch.cat(logits, dim=1))} if logits else {}
        return disentangle(by_clip(torch.cat(blocks, dim=1)), by_clip(torch.stack(weights, dim=1)), extras)

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:
        if not self.groups:
            return {}
        logits = self.by_attribute(features.extras["attributes"])
        values = (
            cast(Tensor, self.attributes)[labels].unsqueeze(1).expand(-1, features.frames.shape[1], -1)
        )  # (B, T, A)
        terms = [
            F.cross_entropy(each.flatten(0, 1), values[..., i].flatten(), ignore_index=UNKNOWN, reduction="sum")
            for i, each in enumerate(logits)
        ]
        return {"attribute": self.attribute_weight * sum(terms) / (values != UNKNOWN).sum().clamp(min=1)}

    def recognise(self, coherence: Tensor) -> Tensor | None:
        """(N, D) to (N, A): of each attribute, the value with the largest logit for the weighted mean of the frames.

        The classifiers are linear, so the logits of the weighted mean are the weighted mean of the frames' logits.
        """
        blocks = coherence.unflatten(1, (1 + len(self.groups), WIDTH))[:, 1:].unbind(dim=1)
        classifiers = [cast(AttributeGroup, group).classifier for group in self.groups]
        values = [classify(block).argmax(dim=1) for classify, block in zip(classifiers, blocks, strict=True)]
        return torch.stack(values, dim=1) if values else None

    def by_attribute(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The extra `attributes`, (B, T, all values), cut into the logits of each attribute."""
        return logits.split([cast(AttributeGroup, group).classifier.out_features for group in self.groups], dim=-1)


class AttributeGroup(nn.Module):
    """The features of one attribute and its classifier: maps (N, C, h, w) to (N, WIDTH). `values`: how many values it has."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, 1, 1, bias=False)
        nn.init.zeros_(self.attention.weight)
        self.embedding = nn.Linear(channels, WIDTH)
        self.classifier = nn.Linear(WIDTH, values)

    def forward(self, maps: Tensor) -> Tensor:
        attention = self.attention(maps).flatten(2).float().softmax(dim=2)  # (N, 1, h * w)
        pooled: Tensor = (attention @ maps.flatten(2).transpose(1, 2).float()).squeeze(1)
        embedded: Tensor = self.embedding(pooled)
        return embedded


def uncertainty(logits: Tensor) -> Tensor:
    """Logits (N, V), V > 1, to entropies (N,), divided by log V: 0 if one value is certain, 1 if all are equally likely."""
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1) / math.log(logits.shape[1])

"""`case`: co-attentive snippet embedding and snippet similarity of Chen et al. (CVPR 2018), after its released code.

With r_t the backbone's embedding of a frame, and each W followed by batch normalisation to 128 channels:

    x_t = unit vector of W_x r_t                        X^t, D = 128
    q = mean_t W_q r_t,  k_t = W_k r_t                  query and keys
    a_t = softmax over t of q * k_t                     channel by channel: 128 softmaxes, G = D
    X_C = sum_t a_t * x_t

The loss `verification` tells pairs of clips of one person from pairs of two by (X_C,i - X_C,j)^2, batch normalisation and a
linear layer with two outputs. At test the probability of two persons is the distance of two windows of frames, and `cssa` makes
the distance of two tracklets of it. `matcher=none` compares X_C instead.

The sources contradict each other: in the paper the query comes from an LSTM over the probe and also weighs the gallery's frames;
in the released code it is the mean of q, and each side is pooled by its own ("self pooling"). This follows the code.

Choices: the pairs of a batch are all pairs of its clips, where the code's are from two cameras. Negative pairs count three times
what the positive ones do together, and the term has the code's weight of 10; its identity loss on every frame (OIM) becomes the
trainer's: set `classification=frames`. The query of a window at test is that of the chunk of frames in which it lies. Optical
flow, which the published figures use, is left out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afa import VideoFeatures, disentangle
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.registry import register
from baselines.matchers.cssa import SnippetSimilarity

from .interface.backbone import Backbone

WIDTH = 128
NEGATIVES = 3.0  # the weight of all negative pairs of a batch together, in that of the positive ones
VERIFICATION_WEIGHT = 10.0


@register("case")
class SnippetEmbedding(Baseline):
    """Frames weighted channel by channel by a query from their own clip; a learned head compares windows of 8 frames.

    Family: weights of frames
    Source: CSSA+CASE: Chen et al., CVPR 2018, released code
    Needs: its own matcher at test
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.channels = WIDTH
        self.value, self.query, self.key = (
            nn.Sequential(nn.Linear(backbone.channels, WIDTH, bias=False), nn.BatchNorm1d(WIDTH)) for _ in range(3)
        )
        self.verification = Verification()
        self.matcher = VerifiedSnippets(self.verification)

    def forward(self, clips: Clips) -> VideoFeatures:
        embeddings = self.embed(clips.frames)  # r_t

        def project(layers: nn.Module) -> Tensor:
            projected: Tensor = layers(embeddings.flatten(0, 1)).unflatten(0, embeddings.shape[:2])
            return projected

        frames = F.normalize(project(self.value), dim=2)
        scores = project(self.query).mean(dim=1, keepdim=True) * project(self.key)
        return disentangle(frames, scores.clamp(-20, 20).exp())

    def losses(self, features: VideoFeatures, labels: Tensor) -> dict[str, Tensor]:
        pairs = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
        one, other = torch.cat([pairs, pairs.flip(0)], dim=1)  # both ways: a batch of two clips still has a variance
        same = labels[one] == labels[other]
        errors = F.cross_entropy(
            self.verification(features.coherence[one], features.coherence[other]), same.long(), reduction="none"
        )
        weights = torch.where(same, 1.0, NEGATIVES * same.sum() / (~same).sum())
        return {"verification": VERIFICATION_WEIGHT * (weights * errors).sum() / weights.sum()}


class Verification(nn.Module):
    """Whether two vectors show one person: batch normalisation and a linear layer on their squared difference."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.linear = nn.Linear(WIDTH, 2)
        nn.init.normal_(self.linear.weight, std=0.001)
        nn.init.zeros_(self.linear.bias)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Logits (N, 2), of two persons and of one, from N pairs of vectors (N, D)."""
        logits: Tensor = self.linear(self.norm((one - other).square()))
        return logits

    @torch.no_grad()
    def as_distance(self) -> tuple[Tensor, Tensor]:
        """a (D,) and c (), on the CPU: in evaluation the two logits differ by sum_d a_d (one - other)_d^2 + c."""
        norm, (two_persons, one_person) = self.norm, self.linear.weight
        assert norm.running_mean is not None
        assert norm.running_var is not None
        slope = norm.weight * (norm.running_var + norm.eps).rsqrt()
        difference = two_persons - one_person
        bias = self.linear.bias[0] - self.linear.bias[1] + (difference * (norm.bias - slope * norm.running_mean)).sum()
        return (difference * slope).cpu(), bias.cpu()


class VerifiedSnippets(SnippetSimilarity):
    """Snippet similarity by the probability that two windows show two persons."""

    def __init__(self, verification: Verification) -> None:
        self.verification = verification

    def between(self, query: Tensor, gallery: Tensor) -> Tensor:
        slope, bias = self.verification.as_distance()
        squares = (query.square() @ slope).unsqueeze(1) + gallery.square() @ slope - 2 * (query * slope) @ gallery.T
        return torch.sigmoid(squares + bias)

"""The three terms of the objective and their sum: Eq. 6-11. All are means over the clips of the batch."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .features import VideoFeatures, check_shape

NORMS = ("l2", "mse")


def frame_consensus_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the class probabilities averaged over a clip's frames (Eq. 7-9, with the minus that Eq. 9 lacks).

    The average is taken BEFORE the logarithm and computed in log space: log mean_t p = logsumexp_t(log p) - log T.

    Args:
        logits: (B, T, K) scores of every frame.
        labels: (B,) class indices.
        label_smoothing: the share of the target that goes to all K classes alike; the paper's is 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_shape("logits", logits, "B T K")
    check_shape("labels", labels, "B", B=len(logits))
    steps = logits.shape[1]
    consensus = torch.logsumexp(F.log_softmax(logits, dim=-1), dim=1) - math.log(steps)
    loss = F.nll_loss(consensus, labels)
    return loss.lerp(-consensus.mean(), label_smoothing) if label_smoothing else loss


def batch_hard_soft_margin_triplet(features: Tensor, labels: Tensor, distance: str = "euclidean") -> Tensor:
    """Triplet loss as the paper trains it (Eq. 10 with section 3.2's text): softplus(d_positive - d_negative).

    The positive is the farthest clip of the same identity in the batch, the negative the nearest of another (Hermans et
    al., 2017). An anchor without a negative in the batch adds nothing.

    Args:
        features: (B, D), one vector per clip.
        labels: (B,) identities.
        distance: "euclidean", not squared, as the paper's; or "cosine", 1 minus the cosine.

    Raises:
        ValueError: an unknown distance, or shapes that do not fit.
    """
    return F.softplus(_hardest(features, labels, distance)).mean()


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float, distance: str = "euclidean") -> Tensor:
    """The hinge that Eq. 10 prints, max(0, d_positive - d_negative + margin), on the same pairs and distances."""
    return F.relu(_hardest(features, labels, distance) + margin).mean()


def _euclidean(features: Tensor) -> Tensor:
    # The matrix-product form of the distance has no finite gradient where two clips coincide; the direct form has.
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _cosine(features: Tensor) -> Tensor:
    directions = F.normalize(features, dim=1)
    return 1 - directions @ directions.T


DISTANCES = {"euclidean": _euclidean, "cosine": _cosine}


def _hardest(features: Tensor, labels: Tensor, distance: str) -> Tensor:
    """d_positive - d_negative of each clip, (B,)."""
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, not {distance!r}")
    check_shape("features", features, "B D")
    check_shape("labels", labels, "B", B=len(features))
    distances = DISTANCES[distance](features)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    positive = distances.masked_fill(~same, -math.inf).amax(dim=1)
    negative = distances.masked_fill(same, math.inf).amin(dim=1)
    return positive - negative


def coherence_constraint(motion: Tensor, norm: str = "l2") -> Tensor:
    """The size of the temporal motion (Eq. 11), mean over clips.

    Args:
        motion: (B, T, D).
        norm: "l2", the L2 norm of a clip's T x D values, as Eq. 11 is printed; "mse", their mean square, as the text calls
            it. At T = 7, D = 2048 and values near 0.1 the second is about 1,200 times smaller: scale lambda with it.

    Raises:
        ValueError: an unknown norm, or another shape.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, not {norm!r}")
    check_shape("motion", motion, "B T D")
    clips = motion.flatten(1)
    if norm == "mse":
        return clips.square().mean()
    return torch.linalg.vector_norm(clips, dim=1).mean()


def afa_loss(
    logits: Tensor, labels: Tensor, features: VideoFeatures, coherence_weight: float = 0.1, norm: str = "l2"
) -> Tensor:
    """The whole objective (Eq. 6): L_cls(X') + L_tri(X_C) + lambda L_coh(X_D).

    Args:
        logits: (B, T, K), the classifier's scores of the augmented frames X'.
        labels: (B,) class indices.
        features: the baseline's, before augmentation.
        coherence_weight: lambda; the paper's is 0.1.
        norm: of `coherence_constraint`.

    Raises:
        ValueError: an unknown norm, shapes that do not fit, or a batch without a triplet (checked on the CPU only: a GPU
            would have to wait).
    """
    check_shape("features.frames", features.frames, "B T D")
    batch, steps, channels = features.frames.shape
    check_shape("features.coherence", features.coherence, "B D", B=batch, D=channels)
    check_shape("logits", logits, "B T K", B=batch, T=steps)
    classification = frame_consensus_cross_entropy(logits, labels)
    identities = len(labels.unique()) if labels.device.type == "cpu" else None
    if identities in (1, batch):
        raise ValueError(f"labels must have two identities, and two clips of one, for a triplet; not {labels.tolist()}")
    return (
        classification
        + batch_hard_soft_margin_triplet(features.coherence, labels)
        + coherence_weight * coherence_constraint(features.motion, norm)
    )

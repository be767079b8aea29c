"""Adversarial Feature Augmentation (Chen, Rao, Lu, Zhou, ECCV 2020): the paper's method alone, on top of torch."""

from .augmentation import AdversarialFeatureAugmentation
from .features import VideoFeatures, disentangle
from .losses import (
    afa_loss,
    batch_hard_soft_margin_triplet,
    coherence_constraint,
    frame_consensus_cross_entropy,
)

__all__ = [
    "AdversarialFeatureAugmentation",
    "VideoFeatures",
    "afa_loss",
    "batch_hard_soft_margin_triplet",
    "coherence_constraint",
    "disentangle",
    "frame_consensus_cross_entropy",
]

"""Adversarial Feature Augmentation: Eq. 4-5, and its opposite of section 4.3."""

import torch
from torch import Generator, Tensor, nn

from .features import VideoFeatures, check_shape

TARGETS = ("coherence", "motion")
GRANULARITIES = ("batch", "clip", "frame")


class AdversarialFeatureAugmentation(nn.Module):
    """Scale one part of the features at random in training; return the coherence in evaluation.

    In training, with delta ~ N(1, sigma^2) (Eq. 5):

    - target "coherence", the paper's method: X' = X_C + delta X_D (Eq. 4). The noise is on the motion, so that the
      model learns from the coherence.
    - target "motion", the opposite assumption of section 4.3: X' = delta X_C + X_D.

    Both are computed as X plus (delta - 1) times the noisy part, so that sigma = 0 changes no bit of X. With one delta per
    batch or clip, target "coherence" does not change the mean over time: the noise reaches only losses on single frames.

    Args:
        sigma: standard deviation of delta, at least 0; the paper's is 0.025.
        target: the part to distil.
        granularity: one delta per "batch" (Algorithm 1), "clip" or "frame".

    Raises:
        ValueError: sigma below 0, or an unknown target or granularity.
    """

    def __init__(self, sigma: float = 0.025, target: str = "coherence", granularity: str = "batch") -> None:
        super().__init__()
        if not sigma >= 0:
            raise ValueError(f"sigma must be at least 0, not {sigma}")
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity must be one of {', '.join(GRANULARITIES)}, not {granularity!r}")
        self.sigma, self.target, self.granularity = sigma, target, granularity

    def forward(self, features: VideoFeatures, generator: Generator | None = None) -> Tensor:
        """X' (B, T, D): augmented in training, the coherence at every time step in evaluation.

        Args:
            features: of a baseline.
            generator: delta is drawn from it, on any device; torch's global generator if None.

        Raises:
            ValueError: features whose shapes do not fit.
        """
        frames = features.frames
        check_shape("features.frames", frames, "B T D")
        check_shape("features.coherence", features.coherence, "B D", B=len(frames), D=frames.shape[2])
        if not self.training:
            return features.coherence.unsqueeze(1).expand_as(frames)
        batch, steps, _ = frames.shape
        shape = {"batch": (1, 1, 1), "clip": (batch, 1, 1), "frame": (batch, steps, 1)}[self.granularity]
        device = generator.device if generator is not None else frames.device
        noise = self.sigma * torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
        noisy = features.motion if self.target == "coherence" else features.coherence.unsqueeze(1)
        # Copying to a GPU need not wait; copying from one must.
        return frames + noise.to(frames, non_blocking=frames.is_cuda) * noisy

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}, target={self.target!r}, granularity={self.granularity!r}"

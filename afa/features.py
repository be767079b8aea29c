"""Temporal coherence and temporal motion of a clip: Eq. 1-3."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class VideoFeatures:
    """What a temporal baseline says of a batch of clips.

    Attributes:
        frames: (B, T, D), one embedding a time step: X of Eq. 1.
        coherence: (B, D), what stays the same over the clip: X_C.
        weights: (B, T), unnormalised positive weights of the time steps, or None where all count alike. The sum over T
            is the weight of the whole clip, by which chunks of one tracklet are merged.
    """

    frames: Tensor
    coherence: Tensor
    weights: Tensor | None = None

    @property
    def motion(self) -> Tensor:
        """(B, T, D), what is left of each time step: X_D = X - X_C (Eq. 3)."""
        return self.frames - self.coherence.unsqueeze(1)


def disentangle(frames: Tensor, weights: Tensor | None = None) -> VideoFeatures:
    """Split frame embeddings into their coherence and the motion around it (Eq. 1-3).

    Args:
        frames: (B, T, D) embeddings.
        weights: (B, T) positive weights, not normalised, as a quality-aware baseline gives them (section 4.4). None is the
            plain mean of Eq. 2.

    Returns:
        VideoFeatures whose coherence is mean(x), or sum(w x) / sum(w).
    """
    if weights is None:
        return VideoFeatures(frames, frames.mean(dim=1))
    weighted = (weights.unsqueeze(-1) * frames).sum(dim=1)
    return VideoFeatures(frames, weighted / weights.sum(dim=1, keepdim=True), weights)

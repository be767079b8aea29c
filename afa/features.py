"""Temporal coherence and temporal motion of a clip: Eq. 1-3."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class VideoFeatures:
    """The output of a temporal baseline for a batch of clips: B clips, T frames, D channels, G blocks of channels.

    Attributes:
        frames: (B, T, D), one embedding per time step: X of Eq. 1.
        coherence: (B, D), what stays the same over the clip: X_C.
        weights: unnormalised positive weights of the time steps, or None where all count equally. (B, T): one per time
            step; (B, T, G): one for each of G equal blocks of channels, such as body regions. Their sum over T is the
            weight of the clip when the chunks of a tracklet are merged.
        extras: named tensors with one row per clip that only the model itself reads again, in losses of its own.
    """

    frames: Tensor
    coherence: Tensor
    weights: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def motion(self) -> Tensor:
        """What is left of each time step, X_D = X - X_C (Eq. 3): a tensor (B, T, D)."""
        return self.frames - self.coherence.unsqueeze(1)


def disentangle(
    frames: Tensor, weights: Tensor | None = None, extras: Mapping[str, Tensor] | None = None
) -> VideoFeatures:
    """Split frame embeddings into their coherence and the motion around it (Eq. 1-3).

    Args:
        frames: (B, T, D) embeddings.
        weights: (B, T) or (B, T, G) positive weights, not normalised, as a quality-aware baseline gives them (section
            4.4); G divides D. None is the plain mean of Eq. 2.
        extras: passed on.

    Returns:
        VideoFeatures whose coherence is mean(x), or sum(w x) / sum(w), block by block.

    Raises:
        ValueError: shapes that do not fit.
    """
    if frames.dim() != 3:
        raise ValueError(f"frames must be (B, T, D), not {tuple(frames.shape)}")
    extras = extras or {}
    if weights is None:
        return VideoFeatures(frames, frames.mean(dim=1), None, extras)
    return VideoFeatures(frames, weighted_mean(frames, weights), weights, extras)


def weighted_mean(frames: Tensor, weights: Tensor) -> Tensor:
    """(B, D): the mean of (B, T, D) over T by weights (B, T), or by weights (B, T, G) for each of G blocks of channels.

    Raises:
        ValueError: shapes that do not fit, or D that G does not divide.
    """
    if weights.dim() not in (2, 3) or weights.shape[:2] != frames.shape[:2]:
        raise ValueError(f"weights {tuple(weights.shape)} must be (B, T) or (B, T, G) for frames {tuple(frames.shape)}")
    if weights.dim() == 2:
        return (weights.unsqueeze(-1) * frames).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    if frames.shape[2] % weights.shape[2]:
        raise ValueError(f"{weights.shape[2]} blocks do not divide {frames.shape[2]} channels")
    blocks = frames.unflatten(2, (weights.shape[2], -1))
    return ((weights.unsqueeze(-1) * blocks).sum(dim=1) / weights.sum(dim=1).unsqueeze(-1)).flatten(1)

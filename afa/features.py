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


def check_shape(name: str, tensor: Tensor, shape: str, **sizes: int) -> None:
    """Refuse an argument of another shape than its letters say, such as "B T D", of which `sizes` fixes some.

    Raises:
        ValueError: it names the argument, the shape that came and the shape wanted.
    """
    letters, actual = shape.split(), tuple(tensor.shape)
    if len(actual) != len(letters) or any(
        sizes.get(letter, size) != size for letter, size in zip(letters, actual, strict=True)
    ):
        wanted = f"({letters[0]},)" if len(letters) == 1 else f"({', '.join(letters)})"
        known = " and ".join(f"{letter} = {size}" for letter, size in sizes.items())
        raise ValueError(f"{name} must be {wanted}{f' with {known}' if known else ''}, not {actual}")


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
    check_shape("frames", frames, "B T D")
    extras = extras or {}
    if weights is None:
        return VideoFeatures(frames, frames.mean(dim=1), None, extras)
    return VideoFeatures(frames, weighted_mean(frames, weights), weights, extras)


def weighted_mean(frames: Tensor, weights: Tensor) -> Tensor:
    """(B, D): the mean of (B, T, D) over T by weights (B, T), or by weights (B, T, G) for each of G blocks of channels.

    Raises:
        ValueError: shapes that do not fit, or D that G does not divide.
    """
    check_shape("frames", frames, "B T D")
    batch, steps, channels = frames.shape
    if weights.dim() not in (2, 3) or weights.shape[:2] != frames.shape[:2]:
        raise ValueError(
            f"weights must be (B, T) or (B, T, G) with B = {batch} and T = {steps}, not {tuple(weights.shape)}"
        )
    if weights.dim() == 2:
        return (weights.unsqueeze(-1) * frames).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    if not weights.shape[2] or channels % weights.shape[2]:
        raise ValueError(f"weights must be (B, T, G) where G divides D = {channels}, not {tuple(weights.shape)}")
    blocks = frames.unflatten(2, (weights.shape[2], -1))
    return ((weights.unsqueeze(-1) * blocks).sum(dim=1) / weights.sum(dim=1).unsqueeze(-1)).flatten(1)

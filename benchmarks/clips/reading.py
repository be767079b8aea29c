"""The decoded frames of clips, and their optical flow."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings

from .decode import decode_frames
from .optical_flow import compute_clip_flow, read_flow


def read_clips(
    store: Store, flow: Store | None, names: Sequence[str], steps: int, phase: str, settings: Settings
) -> tuple[Tensor, Tensor | None]:
    """The frames of clips (B, T, 3, H, W) and their flow (B, T, 2, H, W), None without a store of it; names are of B * T frames.

    Where the frames of this phase ("train" or "test") are shuffled, flow is that between the shuffled neighbours.
    """
    frames = read_frames(store, names, settings)
    clips = frames.unflatten(0, (-1, steps))
    if flow is None:
        return clips, None
    if settings.shuffle not in (phase, "both"):
        return clips, read_flow(flow, names, settings).unflatten(0, (-1, steps))
    pixels = frames.permute(0, 2, 3, 1).numpy().reshape(-1, steps, settings.height, settings.width, 3)
    return clips, torch.from_numpy(compute_clip_flow(pixels, settings))


def read_frames(store: Store, names: Sequence[str], settings: Settings) -> Tensor:
    """(N, 3, H, W) uint8 seen over NHWC memory."""
    return torch.from_numpy(decode_frames(store, names, settings.height, settings.width)).permute(0, 3, 1, 2)

"""The decoded frames of clips, and the optical flow around them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings

from .decode import decode_frames
from .optical_flow import compute_clip_flow, read_flow
from .sampling import Indices
from .workers import batch_memory


class FlowStacks(NamedTuple):
    """The flow of all frames of a data set, by the frames' names, and how many fields around each frame a model reads."""

    store: Store
    fields: int


class ClipFrames(NamedTuple):
    """The frames of one clip: all frames of its tracklet, in the order of time, and which of them it takes, in its order."""

    tracklet: Sequence[str]
    positions: Indices


def read_clips(
    store: Store,
    flow: FlowStacks | None,
    clips: Sequence[ClipFrames],
    phase: str,
    settings: Settings,
    crops: Indices | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The frames of clips of one length (B, T, 3, H, W) and the flow around them (B, T, L, 2, H, W), None without `flow`.

    A stack of flow holds the fields around its frame in the tracklet, even where they are of frames outside the clip. Where the
    frames of this phase ("train" or "test") are shuffled, it holds those around its frame in the clip, between the shuffled
    neighbours. Either way the first and last field are repeated beyond the ends.

    Args:
        crops: of each frame, (B * T, 2), as `decode_frames` takes them.
    """
    steps = len(clips[0].positions)
    names = [tracklet[position] for tracklet, positions in clips for position in positions]
    size = (len(names), settings.height, settings.width, 3)
    memory = batch_memory(math.prod(size)).view(size)
    frames = read_frames(store, names, settings, crops, memory)
    images = frames.unflatten(0, (-1, steps))
    if flow is None:
        return images, None
    if settings.shuffle in (phase, "both"):
        pixels = frames.permute(0, 2, 3, 1).numpy().reshape(-1, steps, settings.height, settings.width, 3)
        return images, torch.from_numpy(compute_clip_flow(pixels, settings)[:, around(steps, flow.fields)])
    fields = [
        tracklet[field]
        for tracklet, positions in clips
        for field in around(len(tracklet), flow.fields)[positions].flatten().tolist()
    ]
    once, places = np.unique(fields, return_inverse=True)  # each is decoded once
    stacks = read_flow(flow.store, once.tolist(), settings)[torch.from_numpy(places)]
    return images, stacks.unflatten(0, (-1, steps, flow.fields))


def around(length: int, fields: int) -> NDArray[np.int64]:
    """The positions of the fields around each of `length` frames, (length, fields), each frame's own in the middle."""
    return (np.arange(length)[:, None] + np.arange(fields) - fields // 2).clip(0, length - 1)


def read_frames(
    store: Store, names: Sequence[str], settings: Settings, crops: Indices | None = None, memory: Tensor | None = None
) -> Tensor:
    """(N, 3, H, W) uint8 seen over NHWC memory, which may be given, (N, H, W, 3)."""
    frames = (
        torch.empty((len(names), settings.height, settings.width, 3), dtype=torch.uint8) if memory is None else memory
    )
    decode_frames(store, names, settings.height, settings.width, crops, frames.numpy())
    return frames.permute(0, 3, 1, 2)

"""Choose the frames of a clip and the identities of a batch. Every draw is a function of named parts of a seed."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.seeds import generator

Indices = NDArray[np.int64]


def clip_positions(length: int, frames: int, sampling: str, spacing: int, draw: np.random.Generator) -> Indices:
    """The positions (T,) in a tracklet of `length` frames that make a clip of T = `frames`. A short tracklet loops.

    restricted: the tracklet in T equal parts, one frame of each at random (restricted random sampling).
    padded: the same with the parts of `padded_parts`; a short tracklet repeats its last frame.
    consecutive: every `spacing`-th frame from a random start; the last possible start can be drawn too.
    even: the middle of each of T equal parts; nothing is random.
    """
    steps = np.arange(frames)
    if sampling == "padded":
        parts = padded_parts(length, frames)
        return parts[steps, draw.integers(parts.shape[1], size=frames)]
    if sampling == "consecutive":
        span = (frames - 1) * spacing + 1
        start = int(draw.integers(max(length - span, 0) + 1))
        return (start + steps * spacing) % length
    if length < frames:
        return steps % length
    if sampling == "even":
        return ((2 * steps + 1) * length) // (2 * frames)
    edges = (np.arange(frames + 1) * length) // frames
    return draw.integers(edges[:-1], edges[1:])


def padded_parts(length: int, parts: int) -> Indices:
    """The positions (parts, n) in a tracklet, in parts of n = ceil(length / parts) frames; the last frame fills the rest.

    9 frames in 8 parts of two: the last four parts hold the last frame alone.
    """
    each = -(-length // parts)
    return np.arange(parts * each).clip(max=length - 1).reshape(parts, each)


def epoch_batches(pids: Indices, identities: int, seed: int, epoch: int) -> list[Indices]:
    """The identities of each batch of an epoch: each identity once, in batches of about P = `identities`, as equal as can be.

    625 identities with P = 8 make 78 batches of 8 or 9; no small batch is left over.
    """
    order = generator("epoch", seed, epoch).permutation(pids)
    return np.array_split(order, batches_per_epoch(len(pids), identities))


def batches_per_epoch(count: int, identities: int) -> int:
    """The number of batches of an epoch over `count` identities: the nearest whole number, at least 1."""
    return max(1, int(count / identities + 0.5))


def share(count: int, rank: int, world: int) -> slice:
    """The share of `count` items that process `rank` of `world` takes; shares differ by one at most."""
    return slice(count * rank // world, count * (rank + 1) // world)

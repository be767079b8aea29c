"""Which frames make a clip, which identities make a batch. Every draw is a function of named parts of a seed."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.seeds import generator

Indices = NDArray[np.int64]


def clip_positions(length: int, frames: int, sampling: str, spacing: int, draw: np.random.Generator) -> Indices:
    """The positions (T,) in a tracklet of `length` frames that make a clip of T = `frames`. A short tracklet loops.

    restricted: the tracklet in T equal parts, one frame of each at random (restricted random sampling).
    consecutive: every `spacing`-th frame from a random start; the last possible start can be drawn too.
    even: the middle of each of T equal parts; nothing is random.
    """
    steps = np.arange(frames)
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


def epoch_batches(pids: Indices, identities: int, seed: int, epoch: int) -> list[Indices]:
    """The identities of every batch of one epoch: each identity once, in batches as even as can be around P = `identities`.

    625 identities in batches of 8 make 78 batches of 8 or 9, none of which is a small rest.
    """
    order = generator("epoch", seed, epoch).permutation(pids)
    return np.array_split(order, batches_per_epoch(len(pids), identities))


def batches_per_epoch(count: int, identities: int) -> int:
    """How many batches take `count` identities once: the nearest whole number, at least 1."""
    return max(1, int(count / identities + 0.5))


def share(count: int, rank: int, world: int) -> slice:
    """Which of `count` things are those of process `rank` of `world`: shares as even as can be."""
    return slice(count * rank // world, count * (rank + 1) // world)

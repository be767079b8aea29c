"""From tracklets to batches: which frames make a clip, which clips a batch, and what is drawn for them.

Batch i and every draw in it are functions of (seed, i). A training loop can begin at any batch, in any process.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings
from benchmarks.seeds import derive, generator

from .decode import decode_frames
from .optical_flow import compute_clip_flow, read_flow

Indices = NDArray[np.int64]

# Random erasing after Zhong et al. (2017): share of the area and aspect ratio of the region.
ERASE_AREA, ERASE_ASPECT = (0.02, 0.4), (0.3, 3.3)
ENLARGED = 1.125  # by what a clip is enlarged before a random crop, as the image code of the field does


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


class Batch(NamedTuple):
    """A training batch as it leaves a worker: uint8, not yet augmented. One of several processes has its share of the B clips.

    frames: (B, T, 3, H, W) uint8, in NHWC memory.
    labels: (B,) class indices, those of all processes.
    flip: (B,) bool, clips to be mirrored.
    erase: (B, 4) top, left, bottom, right of the region to erase in all frames of a clip; empty where nothing is.
    crop: (B, 2) top and left, in the enlarged clip, of what is kept of it; -1 where a clip is left as it is.
    seed: what is drawn on the device (the adversarial coefficient, dropout) is drawn from it.
    flow: (B, T, 2, H, W) uint8 (see `flow`), where the baseline uses it.
    """

    frames: Tensor
    labels: Tensor
    flip: Tensor
    erase: Tensor
    crop: Tensor
    seed: int
    flow: Tensor | None = None


class TrainingBatches(Dataset[Batch]):
    """Item i is the i-th batch of the training, from the first epoch to the last.

    Args:
        tracklets: rows of the table of tracklets; the classes are their pids, sorted.
        store: their frames.
        settings: of the run.
        seed: of the run.
        flow: the flow of all frames, where the baseline uses it.
        rank, world: this process's number, of how many that train together.
    """

    def __init__(
        self,
        tracklets: pd.DataFrame,
        store: Store,
        settings: Settings,
        seed: int,
        flow: Store | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.store, self.settings, self.seed, self.flow = store, settings, seed, flow
        self.rank, self.world = rank, world
        self.frames: list[Sequence[str]] = list(tracklets.frames)
        pids = tracklets.pid.to_numpy()
        self.pids = np.unique(pids)
        self.rows = {int(pid): np.flatnonzero(pids == pid) for pid in self.pids}
        self.per_epoch = batches_per_epoch(len(self.pids), settings.identities)

    def __len__(self) -> int:
        return self.settings.epochs * self.per_epoch

    def __getitem__(self, i: int) -> Batch:
        settings = self.settings
        epoch, position = divmod(i, self.per_epoch)
        pids = epoch_batches(self.pids, settings.identities, self.seed, epoch)[position]
        draw = generator("batch", self.seed, i)
        rows = np.concatenate([_take(self.rows[int(pid)], settings.clips, draw) for pid in pids])
        names = [self._clip(self.frames[row], draw) for row in rows]
        clips = len(rows)
        mine = share(clips, self.rank, self.world)  # everything is drawn, and this much decoded
        own = [name for clip in names[mine] for name in clip]
        frames, flow = read_clips(self.store, self.flow, own, settings.clip_frames, "train", settings)
        return Batch(
            frames=frames,
            labels=torch.from_numpy(np.repeat(np.searchsorted(self.pids, pids), settings.clips)),
            flip=torch.from_numpy(draw.random(clips)[mine] < settings.flip),
            erase=torch.from_numpy(_erasures(clips, settings, draw)[mine]),
            crop=torch.from_numpy(_crops(clips, settings, draw)[mine]),
            seed=derive("device", self.seed, i),
            flow=flow,
        )

    def _clip(self, frames: Sequence[str], draw: np.random.Generator) -> list[str]:
        settings = self.settings
        positions = clip_positions(len(frames), settings.clip_frames, settings.sampling, settings.spacing, draw)
        if settings.shuffle in ("train", "both"):
            positions = draw.permutation(positions)
        return [frames[position] for position in positions]


def _take(rows: Indices, count: int, draw: np.random.Generator) -> Indices:
    """`count` of an identity's tracklets, no one twice before all were taken once."""
    rounds = -(-count // len(rows))
    return np.concatenate([draw.permutation(rows) for _ in range(rounds)])[:count]


def _erasures(clips: int, settings: Settings, draw: np.random.Generator) -> Indices:
    """(clips, 4): a region a clip, empty with probability 1 - erase. A region too large for the image is cut to it."""
    height, width = settings.height, settings.width
    area = draw.uniform(*ERASE_AREA, clips) * height * width
    aspect = np.exp(draw.uniform(np.log(ERASE_ASPECT[0]), np.log(ERASE_ASPECT[1]), clips))
    tall = np.minimum(np.sqrt(area * aspect).round(), height)
    wide = np.minimum(np.sqrt(area / aspect).round(), width)
    top = np.floor(draw.random(clips) * (height - tall + 1))
    left = np.floor(draw.random(clips) * (width - wide + 1))
    regions = np.stack([top, left, top + tall, left + wide], axis=1).astype(np.int64)
    regions[draw.random(clips) >= settings.erase] = 0
    return regions


def enlarged(height: int, width: int) -> tuple[int, int]:
    """The size of a clip before a random crop."""
    return round(ENLARGED * height), round(ENLARGED * width)


def _crops(clips: int, settings: Settings, draw: np.random.Generator) -> Indices:
    """(clips, 2): where a clip is cut out of its enlarged self; -1 with probability 1 - crop."""
    height, width = enlarged(settings.height, settings.width)
    places = draw.integers(0, (height - settings.height + 1, width - settings.width + 1), (clips, 2))
    places[draw.random(clips) >= settings.crop] = -1
    return places


def tested(frames: Sequence[str], count: int) -> Sequence[str]:
    """Those of a tracklet's frames that are tested: the first of each of `count` equal parts, or all."""
    if count == 0 or len(frames) <= count:
        return frames
    return [frames[part * len(frames) // count] for part in range(count)]


class Chunks(NamedTuple):
    """Some chunks of test tracklets, all of one length.

    frames: (B, T, 3, H, W) uint8, in NHWC memory.
    tracklets: (B,) positions of the chunks' tracklets in the table.
    flow: (B, T, 2, H, W) uint8, where the baseline uses it.
    """

    frames: Tensor
    tracklets: Tensor
    flow: Tensor | None = None


class TestChunks(Dataset[Chunks]):
    """The tested frames of all tracklets, in the order of time, in chunks of one length a batch.

    A tracklet of n frames becomes ceil(n / test_chunk) chunks as even as can be. Chunks of one length are batched up to
    `budget` frames, so that nothing is padded.
    """

    def __init__(
        self,
        tracklets: pd.DataFrame,
        store: Store,
        settings: Settings,
        seed: int = 0,
        flow: Store | None = None,
        budget: int = 256,
    ) -> None:
        self.store, self.settings, self.seed, self.flow = store, settings, seed, flow
        self.frames = [tested(frames, settings.test_frames) for frames in tracklets.frames]
        self.names: list[str] = list(tracklets.tracklet)
        by_length: dict[int, list[tuple[int, int]]] = {}
        for row, frames in enumerate(self.frames):
            count = -(-len(frames) // settings.test_chunk)
            edges = (np.arange(count + 1) * len(frames)) // count
            for start, end in pairwise(edges):
                by_length.setdefault(int(end - start), []).append((row, int(start)))
        self.batches = [
            (length, chunks[first : first + size])
            for length, chunks in sorted(by_length.items())
            for size in [max(1, budget // length)]
            for first in range(0, len(chunks), size)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Chunks:
        length, chunks = self.batches[i]
        names = [name for row, start in chunks for name in self._ordered(row)[start : start + length]]
        frames, flow = read_clips(self.store, self.flow, names, length, "test", self.settings)
        return Chunks(frames, torch.tensor([row for row, _ in chunks]), flow)

    def _ordered(self, row: int) -> Sequence[str]:
        """A tracklet's frames in the order of time, or, with the control switched on, in a random one."""
        frames = self.frames[row]
        if self.settings.shuffle not in ("test", "both"):
            return frames
        return [frames[i] for i in generator("shuffled", self.seed, self.names[row]).permutation(len(frames))]


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

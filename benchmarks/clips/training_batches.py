"""Training batches: their clips and random draws.

Batch i and every draw in it are functions of (seed, i). A training loop can begin at any batch, in any process.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings
from benchmarks.seeds import derive, generator

from .reading import ClipFrames, FlowStacks, read_clips
from .sampling import Indices, batches_per_epoch, clip_positions, epoch_batches, share

# Random erasing after Zhong et al. (2017): share of the area and aspect ratio of the region.
ERASE_AREA, ERASE_ASPECT = (0.02, 0.4), (0.3, 3.3)
ENLARGED = 1.125  # factor before a random crop, as in the field's image code


class Batch(NamedTuple):
    """A training batch as it leaves a worker: uint8, not yet augmented. Each of several processes has its share of the B clips.

    frames: (B, T, 3, H, W) uint8, in NHWC memory.
    labels: (B,) class indices, of all processes.
    flip: (B,) bool, clips to mirror.
    erase: (B, 4) top, left, bottom, right of the region to erase in all frames of a clip; empty for none.
    crop: (B, 2) top and left of the crop in the enlarged clip; -1 where a clip is not cropped.
    seed: of the draws on the device (the adversarial coefficient, dropout).
    flow: (B, T, L, 2, H, W) uint8 (see `optical_flow`), the L fields around each frame, where the baseline uses it.
    """

    frames: Tensor
    labels: Tensor
    flip: Tensor
    erase: Tensor
    crop: Tensor
    seed: int
    flow: Tensor | None = None


class TrainingBatches(TorchDataset[Batch]):
    """Item i is the i-th batch of the training, from the first epoch to the last.

    Args:
        tracklets: rows of the table of tracklets; the classes are their pids, sorted.
        store: their frames.
        settings: of the run.
        seed: of the run.
        flow: the flow of all frames, and how many fields around each the baseline reads, where it uses flow.
        rank, world: of this process, among those that train together.
    """

    def __init__(
        self,
        tracklets: pd.DataFrame,
        store: Store,
        settings: Settings,
        seed: int,
        flow: FlowStacks | None = None,
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
        drawn = [self._clip(self.frames[row], draw) for row in rows]
        clips = len(rows)
        mine = share(clips, self.rank, self.world)  # all processes draw everything and decode their share
        frames, flow = read_clips(self.store, self.flow, drawn[mine], "train", settings)
        return Batch(
            frames=frames,
            labels=torch.from_numpy(np.repeat(np.searchsorted(self.pids, pids), settings.clips)),
            flip=torch.from_numpy(draw.random(clips)[mine] < settings.flip),
            erase=torch.from_numpy(_erasures(clips, settings, draw)[mine]),
            crop=torch.from_numpy(_crops(clips, settings, draw)[mine]),
            seed=derive("device", self.seed, i),
            flow=flow,
        )

    def _clip(self, frames: Sequence[str], draw: np.random.Generator) -> ClipFrames:
        settings = self.settings
        positions = clip_positions(len(frames), settings.clip_frames, settings.sampling, settings.spacing, draw)
        if settings.shuffle in ("train", "both"):
            positions = draw.permutation(positions)
        return ClipFrames(frames, positions)


def _take(rows: Indices, count: int, draw: np.random.Generator) -> Indices:
    """`count` of an identity's tracklets; none is taken twice before all have been taken once."""
    rounds = -(-count // len(rows))
    return np.concatenate([draw.permutation(rows) for _ in range(rounds)])[:count]


def _erasures(clips: int, settings: Settings, draw: np.random.Generator) -> Indices:
    """(clips, 4): one region per clip, empty with probability 1 - erase, clipped to the image."""
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
    """(clips, 2): top and left of the crop in the enlarged clip; -1 with probability 1 - crop."""
    height, width = enlarged(settings.height, settings.width)
    places = draw.integers(0, (height - settings.height + 1, width - settings.width + 1), (clips, 2))
    places[draw.random(clips) >= settings.crop] = -1
    return places

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

from .decode import enlarged
from .reading import ClipFrames, FlowStacks, read_clips
from .sampling import Indices, batches_per_epoch, clip_positions, epoch_batches, share

# Random erasing after Zhong et al. (2017): share of the area and aspect ratio of the region.
ERASE_AREA, ERASE_ASPECT = (0.02, 0.4), (0.3, 3.3)


class Batch(NamedTuple):
    """A training batch as it leaves a worker: uint8, not yet augmented. Each of several processes has its share of the B clips.

    frames: (B, T, 3, H, W) uint8, in NHWC memory.
    labels: (B,) class indices, of all processes.
    flip: (U,) bool, what to mirror: the clips, U = B, or each frame by itself, U = B * T.
    erase: (U, 4) top, left, bottom, right of the region to erase; empty for none.
    crop: (U, 2) top and left of the crop in the enlarged clip or frame; -1 for none.
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
        rows = np.concatenate([_take(self.rows[int(pid)], settings, draw) for pid in pids])
        drawn = [self._clip(self.frames[row], draw) for row in rows]
        mine = share(len(rows), self.rank, self.world)  # all processes draw everything and decode their share
        each = settings.clip_frames if settings.augment == "frame" else 1
        units, own = len(rows) * each, slice(mine.start * each, mine.stop * each)
        flip = draw.random(units)[own] < settings.flip
        erase, crop = _erasures(units, settings, draw)[own], _crops(units, settings, draw)[own]
        cut = crop.repeat(settings.clip_frames // each, axis=0) if settings.crop_from == "source" else None
        frames, flow = read_clips(self.store, self.flow, drawn[mine], "train", settings, cut)
        return Batch(
            frames=frames,
            labels=torch.from_numpy(np.repeat(np.searchsorted(self.pids, pids), settings.clips)),
            flip=torch.from_numpy(flip),
            erase=torch.from_numpy(erase),
            crop=torch.from_numpy(crop),
            seed=derive("device", self.seed, i),
            flow=flow,
        )

    def _clip(self, frames: Sequence[str], draw: np.random.Generator) -> ClipFrames:
        settings = self.settings
        positions = clip_positions(len(frames), settings.clip_frames, settings.sampling, settings.spacing, draw)
        if settings.shuffle in ("train", "both"):
            positions = draw.permutation(positions)
        return ClipFrames(frames, positions)


def _take(rows: Indices, settings: Settings, draw: np.random.Generator) -> Indices:
    """K of an identity's tracklets: drawn independently, or distinct: none comes twice before all have come once."""
    if settings.tracklets == "independent":
        return draw.choice(rows, settings.clips)
    rounds = -(-settings.clips // len(rows))
    return np.concatenate([draw.permutation(rows) for _ in range(rounds)])[: settings.clips]


def _erasures(units: int, settings: Settings, draw: np.random.Generator) -> Indices:
    """(units, 4): one region per clip or frame, empty with probability 1 - erase, clipped to the image."""
    height, width = settings.height, settings.width
    area = draw.uniform(*ERASE_AREA, units) * height * width
    aspect = np.exp(draw.uniform(np.log(ERASE_ASPECT[0]), np.log(ERASE_ASPECT[1]), units))
    tall = np.minimum(np.sqrt(area * aspect).round(), height)
    wide = np.minimum(np.sqrt(area / aspect).round(), width)
    top = np.floor(draw.random(units) * (height - tall + 1))
    left = np.floor(draw.random(units) * (width - wide + 1))
    regions = np.stack([top, left, top + tall, left + wide], axis=1).astype(np.int64)
    regions[draw.random(units) >= settings.erase] = 0
    return regions


def _crops(units: int, settings: Settings, draw: np.random.Generator) -> Indices:
    """(units, 2): top and left of the crop in the enlarged clip or frame; -1 with probability 1 - crop."""
    height, width = enlarged(settings.height, settings.width)
    places = draw.integers(0, (height - settings.height + 1, width - settings.width + 1), (units, 2))
    places[draw.random(units) >= settings.crop] = -1
    return places

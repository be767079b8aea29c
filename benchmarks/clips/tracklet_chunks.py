"""Test chunks: the frames of each test tracklet, in chunks that a model takes in one pass."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings
from benchmarks.seeds import generator

from .reading import ClipFrames, FlowStacks, read_clips
from .sampling import Indices, padded_parts


def tested(length: int, settings: Settings) -> Indices:
    """The positions of the frames of a tracklet to test: all, or the first of each of `test_frames` segments.

    The segments are equal, and at most as many as there are frames; with padded sampling they are its parts.
    """
    count = settings.test_frames
    if count and settings.sampling == "padded":
        return padded_parts(length, count)[:, 0]
    parts = length if count == 0 else min(length, count)
    return np.arange(parts) * length // parts


class Chunk(NamedTuple):
    """Frames `start` to `stop` of the tracklet in row `row`."""

    row: int
    start: int
    stop: int


class ChunkBatch(NamedTuple):
    """Some chunks of test tracklets, all of one length.

    frames: (B, T, 3, H, W) uint8, in NHWC memory.
    chunks: which frames of which tracklets they are. A chunk of fewer than T frames is padded with its last frame, or
        repeated if it is "filled".
    flow: (B, T, L, 2, H, W) uint8, the L fields around each frame, where the baseline uses it.
    """

    frames: Tensor
    chunks: list[Chunk]
    flow: Tensor | None = None


class TrackletChunks(TorchDataset[ChunkBatch]):
    """The tested frames of all tracklets, in the order of time, in chunks of one length per batch.

    Args:
        tracklets: rows of the table of tracklets.
        store: their frames.
        settings: of the run.
        seed: of the run, from which the order of shuffled frames is drawn.
        flow: the flow of all frames, and how many fields around each the baseline reads, where it uses flow.
        clips: how a tracklet is cut (see `Baseline.test_clips`). "even": n frames become ceil(n / test_chunk) chunks, as equal
            as can be; "exact": clips of clip_frames, the last one padded; "whole": one chunk; "filled": as "exact", but the
            last one is repeated from its start.
        budget: frames per batch; one chunk may have more.
    """

    def __init__(
        self,
        tracklets: pd.DataFrame,
        store: Store,
        settings: Settings,
        seed: int = 0,
        flow: FlowStacks | None = None,
        clips: Literal["even", "exact", "whole", "filled"] = "even",
        budget: int = 256,
    ) -> None:
        self.store, self.settings, self.seed, self.flow = store, settings, seed, flow
        self.tracklets: list[Sequence[str]] = list(tracklets.frames)
        self.tested = [tested(len(frames), settings) for frames in self.tracklets]
        self.fixed = clips in ("exact", "filled")
        self.padding: Literal["edge", "wrap"] = "wrap" if clips == "filled" else "edge"
        self.names: list[str] = list(tracklets.tracklet)
        by_length: dict[int, list[Chunk]] = {}
        for row, positions in enumerate(self.tested):
            for start, stop in pairwise(_edges(len(positions), clips, settings)):
                length = settings.clip_frames if self.fixed else stop - start
                by_length.setdefault(length, []).append(Chunk(row, start, stop))
        self.batches = [
            (length, chunks[first : first + size])
            for length, chunks in sorted(by_length.items())
            for size in [max(1, budget // length)]
            for first in range(0, len(chunks), size)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> ChunkBatch:
        length, chunks = self.batches[i]
        clips = []
        for row, start, stop in chunks:
            own = self.ordered(row)[start:stop]
            clips.append(ClipFrames(self.tracklets[row], np.pad(own, (0, length - len(own)), self.padding)))
        frames, flow = read_clips(self.store, self.flow, clips, "test", self.settings)
        return ChunkBatch(frames, chunks, flow)

    def ordered(self, row: int) -> Indices:
        """The positions of a tracklet's tested frames, in the order in which the model sees them: by time, or shuffled."""
        positions = self.tested[row]
        if self.settings.shuffle not in ("test", "both"):
            return positions
        return positions[generator("shuffled", self.seed, self.names[row]).permutation(len(positions))]


def _edges(length: int, clips: str, settings: Settings) -> list[int]:
    """Where the chunks of a tracklet of `length` frames begin, and its end."""
    if clips == "whole":
        return [0, length]
    if clips != "even":
        return [*range(0, length, settings.clip_frames), length]
    count = -(-length // settings.test_chunk)
    return [int(edge) for edge in (np.arange(count + 1) * length) // count]

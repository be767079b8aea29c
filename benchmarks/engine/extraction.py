"""One feature per tracklet, from all its frames; and the features of its frames, for matchers."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from afa import VideoFeatures
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.tracklet_chunks import Chunk, TrackletChunks
from benchmarks.clips.workers import prefetched
from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings

from . import distributed
from .micro_batches import naming_setting
from .model import ReidModel
from .precision import autocast

Features = NDArray[np.float32]
Progress = Callable[[int, int], None]  # (frames done, frames in all), of this process where several share them


class TrackletFeatures(NamedTuple):
    """Of N tracklets: the coherence (N, D), and the same behind the batch normalisation that precedes the classifier."""

    before: Features
    after: Features


class FrameFeatures(NamedTuple):
    """Of one tracklet with n frames: the row in the table, frames (n, D), weights (n,) or (n, G) or None, coherence (D,)."""

    row: int
    frames: Tensor
    weights: Tensor | None
    coherence: Tensor


@torch.inference_mode()
def extract(
    model: ReidModel,
    tracklets: pd.DataFrame,
    store: Store,
    settings: Settings,
    workers: int = 0,
    progress: Progress | None = None,
    seed: int = 0,
    flow: FlowStacks | None = None,
) -> TrackletFeatures:
    """The temporal coherence of every tracklet, in the table's order; its chunks are merged as the baseline says.

    With the default merging, by weight, pooling baselines give what all frames at once would give.

    Args:
        seed: of the run, from which the order of shuffled frames is drawn.
        flow: the flow of all frames, and how many fields around each the baseline reads, where it uses flow.
    """
    chunks = _chunks(model, tracklets, store, settings, seed, flow)
    numbers = {chunk: number for number, chunk in enumerate(chunk for _, batch in chunks.batches for chunk in batch)}
    chunks.batches = chunks.batches[distributed.rank() :: distributed.world()]
    coherence = torch.zeros(len(numbers), model.baseline.channels)
    weights: Tensor | None = None
    for batch, features in _features(model, chunks, settings, workers, progress):
        rows = [numbers[chunk] for chunk in batch]
        of_batch = _chunk_weights(features, batch, settings)
        if weights is None:
            weights = torch.zeros(len(numbers), of_batch.shape[1], dtype=torch.float64)
        coherence[rows], weights[rows] = features.coherence.float().cpu(), of_batch
    blocks = distributed.largest(0 if weights is None else weights.shape[1])
    weights = torch.zeros(len(numbers), blocks, dtype=torch.float64) if weights is None else weights
    for array in (coherence, weights):
        distributed.total(array)  # of each chunk one process has the features, the others have zeros
    before = _merged(model, list(numbers), coherence, weights, len(tracklets))
    device = next(model.parameters()).device
    after = torch.cat([model.neck(part.to(device)).cpu() for part in before.split(4096)])
    return TrackletFeatures(before.numpy(), after.numpy())


@torch.inference_mode()
def extract_frames(
    model: ReidModel,
    tracklets: pd.DataFrame,
    store: Store,
    settings: Settings,
    workers: int = 0,
    progress: Progress | None = None,
    seed: int = 0,
    flow: FlowStacks | None = None,
) -> Iterator[FrameFeatures]:
    """The features of every tracklet's frames, on the CPU in float32, as soon as all its chunks are through the model.

    Args: as `extract`. Of several processes each gets its share of the tracklets.
    """
    own = np.arange(len(tracklets))[distributed.rank() :: distributed.world()]
    chunks = _chunks(model, tracklets.iloc[own].reset_index(drop=True), store, settings, seed, flow)
    parts: dict[int, dict[Chunk, tuple[Tensor, Tensor | None, Tensor, Tensor]]] = {}
    counts = [len(positions) for positions in chunks.tested]
    for batch, features in _features(model, chunks, settings, workers, progress):
        of_batch = _chunk_weights(features, batch, settings)
        for clip, chunk in enumerate(batch):
            length = chunk.stop - chunk.start
            frames = features.frames[clip, :length].float().cpu()
            weights = None if features.weights is None else features.weights[clip, :length].float().cpu()
            here = parts.setdefault(chunk.row, {})
            here[chunk] = frames, weights, features.coherence[clip].double().cpu(), of_batch[clip]
            if sum(part.stop - part.start for part in here) < counts[chunk.row]:
                continue
            in_order = [here[part] for part in sorted(here)]
            all_frames, all_weights, coherence, chunk_weights = zip(*in_order, strict=True)
            merged = model.baseline.merge(torch.stack(coherence), torch.stack(chunk_weights)).float()
            joined = None if all_weights[0] is None else torch.cat(all_weights)
            del parts[chunk.row]
            yield FrameFeatures(int(own[chunk.row]), torch.cat(all_frames), joined, merged)


def _chunks(
    model: ReidModel, tracklets: pd.DataFrame, store: Store, settings: Settings, seed: int, flow: FlowStacks | None
) -> TrackletChunks:
    clips = model.baseline.test_clips if settings.test_clips == "own" else settings.test_clips
    return TrackletChunks(tracklets, store, settings, seed, flow, clips)


def _features(
    model: ReidModel, chunks: TrackletChunks, settings: Settings, workers: int, progress: Progress | None
) -> Iterator[tuple[list[Chunk], VideoFeatures]]:
    """The chunks through the model, batch by batch."""
    model.eval()
    total = sum(length * len(batch) for length, batch in chunks.batches)
    done = 0
    device = next(model.parameters()).device
    advice = f"a lower test_chunk (now {settings.test_chunk} frames), or height and width, needs less"
    with prefetched(chunks, workers) as batches:
        for frames, batch, motion in batches:
            # Batches have many sizes, for each of which a trained model would be compiled anew.
            with torch.compiler.set_stance("force_eager"), autocast(settings.precision, device), naming_setting(advice):
                features = model(frames, flow=motion)
            yield batch, features
            done += frames.shape[0] * frames.shape[1]
            if progress is not None:
                progress(done, total)


def _chunk_weights(features: VideoFeatures, batch: list[Chunk], settings: Settings) -> Tensor:
    """(B, G) float64: the sum of the weights of each chunk's own frames, or their number; padding counts for nothing.

    Clips that are filled count alike, however a model weighs their frames.
    """
    if settings.test_clips == "filled":
        return torch.ones(len(batch), 1, dtype=torch.float64)
    lengths = torch.tensor([chunk.stop - chunk.start for chunk in batch], dtype=torch.float64)
    if features.weights is None:
        return lengths.unsqueeze(1)
    weights = features.weights.double().cpu()
    own = torch.arange(weights.shape[1]) < lengths.unsqueeze(1)
    return (weights.flatten(2) if weights.dim() == 3 else weights.unsqueeze(2)).mul(own.unsqueeze(2)).sum(dim=1)


def _merged(model: ReidModel, chunks: list[Chunk], coherence: Tensor, weights: Tensor, count: int) -> Tensor:
    """(N, D) float32: the chunks of each of `count` tracklets as one."""
    rows: list[list[int]] = [[] for _ in range(count)]
    for number in sorted(range(len(chunks)), key=chunks.__getitem__):  # in the order of time
        rows[chunks[number].row].append(number)
    merged = [model.baseline.merge(coherence[numbers].double(), weights[numbers]) for numbers in rows]
    return torch.stack(merged).float()

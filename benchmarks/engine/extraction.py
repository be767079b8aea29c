"""One feature a tracklet, from all its frames."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.clips.batches import TestChunks
from benchmarks.clips.workers import prefetched
from benchmarks.data.frame_stores import Store
from benchmarks.experiments.settings import Settings

from . import distributed
from .model import ReidModel
from .precision import autocast

Features = NDArray[np.float32]


class TrackletFeatures(NamedTuple):
    """Of N tracklets: the coherence (N, D), and the same behind the batch normalisation that precedes the classifier."""

    before: Features
    after: Features


@torch.inference_mode()
def extract(
    model: ReidModel,
    tracklets: pd.DataFrame,
    store: Store,
    settings: Settings,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
    flow: Store | None = None,
) -> TrackletFeatures:
    """The temporal coherence of every tracklet, in the table's order.

    Chunks of a tracklet are merged by their weights (the sum of the frames' weights, or the number of frames), so that
    pooling baselines get what all frames at once would give.

    Args:
        progress: called with (done, total) frames, of this process where several share them.
        seed: of the run, from which the order of shuffled frames is drawn.
        flow: the flow of all frames, where the baseline uses it.
    """
    model.eval()
    chunks = TestChunks(tracklets, store, settings, seed, flow)
    chunks.batches = chunks.batches[distributed.rank() :: distributed.world()]
    total = sum(length * len(parts) for length, parts in chunks.batches)
    sums = np.zeros((len(tracklets), model.baseline.channels))
    weights = np.zeros(len(tracklets))
    done = 0
    device = next(model.parameters()).device
    with prefetched(chunks, workers) as batches:
        for frames, rows, motion in batches:
            # Batches have many sizes, for each of which a trained model would be compiled anew.
            with torch.compiler.set_stance("force_eager"), autocast(settings.precision, device):
                features = model(frames, flow=motion)
            steps = frames.shape[1]
            if features.weights is None:
                weight = np.full(len(rows), float(steps))
            else:
                weight = features.weights.double().sum(dim=1).cpu().numpy()
            np.add.at(sums, rows.numpy(), features.coherence.double().cpu().numpy() * weight[:, None])
            np.add.at(weights, rows.numpy(), weight)
            done += len(rows) * steps
            if progress is not None:
                progress(done, total)
    for array in (sums, weights):
        distributed.total(torch.from_numpy(array))
    before = (sums / weights[:, None]).astype(np.float32)
    after = torch.cat([model.neck(part.to(device)).cpu() for part in torch.from_numpy(before).split(4096)])
    return TrackletFeatures(before, after.numpy())

"""Whether a model that learns attributes of the training people recognises them on people whom it has not seen."""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.attributes import attributes_of, encode_attributes, known_values, training_attributes
from benchmarks.data.loading import LoadedDataset
from benchmarks.runs.record import Recognition

from .extraction import extract
from .model import ReidModel


@torch.inference_mode()
def recognise_attributes(
    model: ReidModel,
    data: LoadedDataset,
    training_pids: NDArray[np.int64],
    workers: int,
    seed: int,
    flow: FlowStacks | None,
) -> dict[str, Recognition]:
    """How often each attribute of the queries is recognised. Empty if the model recognises none or no query has a known value."""
    baseline = model.baseline
    if not baseline.uses_attributes:
        return {}
    queries, _ = test_tracklets(data)
    values = known_values(training_attributes(data).loc[training_pids])
    true = encode_attributes(attributes_of(data, "query").loc[queries.pid], values)
    features = extract(model, queries, data.store, model.settings, workers, seed=seed, flow=flow)
    found = baseline.recognise(torch.from_numpy(features.before).to(next(model.parameters()).device))
    if found is None:
        return {}
    results = {}
    for name, guess, truth in zip(values, found.cpu().numpy().T, true.T, strict=True):
        known = truth >= 0
        if known.any():
            right = float((guess == truth)[known].mean())
            results[name] = Recognition(right, float(np.bincount(truth[known]).max() / known.sum()), int(known.sum()))
    return results

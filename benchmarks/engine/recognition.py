"""How well a model that learns attributes of the training people recognises those of people whom it has not seen.

Shapes: N features of length D, A attributes.
"""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines import BASELINES
from baselines.interface.baseline import Baseline
from baselines.interface.errors import UserError
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.attributes import KnownAttributes, known_attributes
from benchmarks.data.loading import LoadedDataset
from benchmarks.experiments.methods import split_method
from benchmarks.runs.record import Recognition

from .extraction import extract
from .model import ReidModel, code_place

if TYPE_CHECKING:
    from benchmarks.runs.cost import Clock

    from .run import Machine


def attributes_for(method: str, data: LoadedDataset, pids: NDArray[np.int64]) -> KnownAttributes | None:
    """The attributes of the training people and of the people of the queries; None if the method's baseline uses none.

    Args:
        pids: (K,) of the training people, in the order of the model's classes.

    Raises:
        UserError: as `known_attributes`.
    """
    if not BASELINES.get(split_method(method)[0]).uses_attributes:
        return None
    return known_attributes(data, pids, test_tracklets(data)[0].pid.to_numpy())


def check_recognition(model: ReidModel, known: KnownAttributes | None) -> None:
    """Check that what the baseline's `recognise` returns has the shape (N, A), if it recognises attributes.

    Raises:
        UserError: it has another shape.
    """
    if known is None or not _recognises(model.baseline):
        return
    found = _values(model, torch.zeros(2, model.baseline.channels))
    expected = (2, len(known.names))
    if found is not None and found.shape != expected:
        kind = type(model.baseline)
        raise UserError(
            f"{code_place(kind.recognise)}: recognise of {kind.__name__} returned values of shape {tuple(found.shape)} for 2 "
            f"features and {expected[1]} attributes; it must be {expected}"
        )


def _recognises(baseline: Baseline) -> bool:
    """Whether the baseline has a `recognise` of its own."""
    return type(baseline).recognise is not Baseline.recognise


@torch.inference_mode()
def _values(model: ReidModel, features: Tensor) -> Tensor | None:
    """What `recognise` returns for features (N, D): values (N, A) on the CPU, or None."""
    model.eval()
    found = model.baseline.recognise(features.to(next(model.parameters()).device))
    return None if found is None else found.cpu()


def recognise_attributes(
    model: ReidModel,
    data: LoadedDataset,
    known: KnownAttributes | None,
    machine: "Machine",
    clock: "Clock",
    seed: int,
    flow: FlowStacks | None,
) -> dict[str, Recognition]:
    """How often each attribute is recognised on the queries, by its name. `clock` measures this as the phase "recognise".

    Attributes whose value is known for no query are left out. The result is empty if the baseline recognises none.

    Args:
        known: as `attributes_for` returned it.
        seed: of the run.
        flow: the optical flow of the data set, if the baseline reads it.
    """
    if known is None or not _recognises(model.baseline):
        return {}
    clock.start()
    queries, _ = test_tracklets(data)
    progress = partial(machine.report, "recognise", note=data.name)
    features = extract(model, queries, data.store, model.settings, machine.workers, progress, seed, flow)
    found = _values(model, torch.from_numpy(features.before))
    if found is None:
        return {}
    results = {}
    for name, guess, truth in zip(known.names, found.numpy().T, known.queries.T, strict=True):
        counted = truth >= 0
        if counted.any():
            right = float((guess == truth)[counted].mean())
            most_frequent = float(np.bincount(truth[counted]).max() / counted.sum())
            results[name] = Recognition(right, most_frequent, int(counted.sum()))
    clock.lap("recognise", len(queries))
    return results

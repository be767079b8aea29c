"""Write the features of tracklets to files: of a finished run's model, or of a backbone's mean-pooled frames.

The files have the form that `external_features` reads.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file
from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.extraction import extract
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.engine.run import Machine, flow_for, prepare, trained_model
from benchmarks.experiments.settings import Settings

from .folder import RunFolder
from .record import Record

POOLED = "mean"  # the method that only averages what the backbone gives


class Extractor(NamedTuple):
    """A model and how its features are extracted; `name` is the beginning of the files' names."""

    name: str
    method: str
    model: ReidModel
    settings: Settings
    seed: int


def extractor_of_run(source: RunFolder, record: Record, machine: Machine) -> Extractor:
    """The model of a finished run.

    Raises:
        UserError: the run's weights are missing.
    """
    model, settings = trained_model(source, record, machine)
    return Extractor(record.name, record.experiment.method, model, settings, record.experiment.seed)


def extractor_of_backbone(settings: Settings, machine: Machine) -> Extractor:
    """The mean over a tracklet's frames of what a backbone with given weights makes of each.

    Raises:
        UserError: an unknown backbone, or weights that do not fit it.
    """
    prepare(settings, machine.device)
    model, _ = build_model(POOLED, 2, settings, seed=0)  # the classifier is not used
    return Extractor(settings.backbone, POOLED, model.to(machine.device), settings, 0)


def write_features(extractor: Extractor, data: LoadedDataset, name: str, to: Path, machine: Machine) -> list[Path]:
    """Write features, before batch normalisation, to NAME-query.npz and NAME-gallery.npz, or without identities to NAME.npz.

    Raises:
        UserError: `to` is a file.
    """
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: not a folder; name a folder, new or existing")
    flow = flow_for(extractor.method, data, extractor.settings, machine)
    stem = re.sub(r"[^\w.+@-]", "_", name)
    written = []
    for subset, tracklets in _subsets(data):
        progress = partial(machine.report, subset or "extract", note=data.name)
        features = extract(
            extractor.model,
            tracklets,
            data.store,
            extractor.settings,
            machine.workers,
            progress,
            extractor.seed,
            flow,
        )
        file = to / f"{'-'.join(filter(None, (stem, subset)))}.npz"
        names = np.array(list(tracklets.tracklet), dtype=np.str_)
        with atomic_file(file) as half:
            np.savez(half, feature=features.before, pid=tracklets.pid, camid=tracklets.camid, tracklet=names)
        written.append(file)
    return written


def _subsets(data: LoadedDataset) -> Sequence[tuple[str, pd.DataFrame]]:
    """Query and gallery; of data without identities all tracklets."""
    if data.dataset.features_only:
        return [("", data.table)]
    return list(zip(("query", "gallery"), test_tracklets(data), strict=True))

"""Estimate how long runs will take, from the speed of recorded runs."""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.find import find_dataset
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.parsing import parse_json
from benchmarks.runs.record import Record

# A recorded run is similar if it has the same values of these. The first group of which there are records is used.
SIMILARITY = (
    ("baseline", "backbone", "height", "width", "precision"),
    ("backbone", "height", "width", "precision"),
)

# What `python -m benchmarks.speed.gpu` measured on one GPU, where nothing like a run has run here.
MEASURED_ON_GPU = Path(__file__).parents[2] / "results" / "measured" / "gpu.json"
DECIDE_SPEED = ("backbone", "last_stride", "height", "width")


def on_device_of_last_training(records: Sequence[Record]) -> tuple[list[Record], bool]:
    """The records made on a GPU if the last training was on one, otherwise the others; and whether it was on a GPU."""
    trained = [record for record in records if "train" in record.phases]
    last = max(trained, key=lambda record: record.finished, default=None)
    gpu = last is not None and bool(last.environment.gpu)
    return on_device(records, gpu), gpu


def on_device(records: Sequence[Record], gpu: bool) -> list[Record]:
    """The records made on a GPU, or those made on a CPU."""
    return [record for record in records if bool(record.environment.gpu) == gpu]


def estimate_in_turn(
    experiments: Iterable[Experiment], records: Sequence[Record], done: Iterable[Experiment] = ()
) -> list[float | None]:
    """As `estimate_seconds`, for runs one after the other: those that differ in the test alone share one training.

    Args:
        done: finished runs, whose trainings need no repetition.
    """
    trained, seconds = {each.training_hash for each in done}, []
    for experiment in experiments:
        seconds.append(estimate_seconds(experiment, records, trained=experiment.training_hash in trained))
        trained.add(experiment.training_hash)
    return seconds


def estimate_seconds(experiment: Experiment, records: Sequence[Record], trained: bool = False) -> float | None:
    """About how many seconds a run will take, by the median frames/s of recorded runs like it. None if there is none.

    The time to draw or index the data, once on each machine, is not included.

    Args:
        trained: whether another run leaves the weights, so that only the test remains.
    """
    clips = _clips_per_epoch(experiment, records)
    timed = [record for record in records if "train" in record.phases and record.phases["train"].per_second > 0]
    for keys in SIMILARITY:
        similar = [record for record in timed if _is_similar(experiment, record.experiment, keys)]
        if similar and clips is not None:
            frames = 0 if trained else clips * experiment.settings["epochs"] * experiment.settings["clip_frames"]
            return frames / _speed(similar, "train") + _extraction_seconds(experiment, similar, records)
    return None


@cache
def measured_gpu(file: Path = MEASURED_ON_GPU) -> dict[str, Any]:
    """The record of the GPU measurement; empty if there is none."""
    return dict(parse_json(file.read_bytes(), file)) if file.exists() else {}


def measured_seconds(experiment: Experiment) -> float | None:
    """About how many seconds a run takes on the GPU of `measured_gpu`. None if nothing like it was measured there.

    By the frames/s of the same baseline, precision, backbone and image, and by the published numbers of identities and frames.
    """
    measured = measured_gpu()
    settings, clips = experiment.settings, _clips_per_epoch(experiment, ())
    if not measured or clips is None or any(measured["recipe"].get(key) != settings[key] for key in DECIDE_SPEED):
        return None
    name, precision = split_method(experiment.method)[0], settings["precision"]
    train, test = (_measured_speed(key, name, precision) for key in ("harness", "extraction"))
    if train is None or test is None:
        return None
    published = find_dataset(experiment.test).published
    tested = sum(published.get(subset, {}).get("frames", 0) for subset in ("query", "gallery"))
    frames = clips * settings["epochs"] * settings["clip_frames"]
    return frames / train + tested / test


def _measured_speed(key: str, name: str, precision: str) -> float | None:
    """The measured frames/s of a baseline; where another precision was measured alone, scaled as those of `mean` are."""
    measured: dict[tuple[str, str], list[float]] = {}
    for row in measured_gpu()["methods"]:
        if key in row:  # of a method without and with AFA, those that were measured; they differ little
            measured.setdefault((split_method(row["method"])[0], row["precision"]), []).append(row[key])
    speeds = {each: float(np.median(found)) for each, found in measured.items()}
    if (name, precision) in speeds:
        return speeds[name, precision]
    others = [
        speed * speeds["mean", precision] / speeds["mean", other]
        for (each, other), speed in speeds.items()
        if each == name and {("mean", precision), ("mean", other)} <= speeds.keys()
    ]
    return others[0] if others else None


def measured_note(experiments: Sequence[Experiment]) -> str:
    """The GPU hours of those experiments that are like the measured ones, as another part of a sentence; empty if none is."""
    seconds = [each for each in map(measured_seconds, experiments) if each is not None]
    if not seconds:
        return ""
    which = "they" if len(seconds) == len(experiments) else f"{len(seconds)} of them"
    return f"; on one {gpu_name()}, whose speed was measured, {which} take about {sum(seconds) / 3600:.1f} GPU hours"


def gpu_name() -> str:
    """The name of the GPU of `measured_gpu`."""
    return str(measured_gpu()["environment"]["gpu"])


def _clips_per_epoch(experiment: Experiment, records: Sequence[Record]) -> float | None:
    """Clips per epoch: counted by a run on the same data, or from the published number of training identities."""
    settings = experiment.settings
    for record in records:
        other, training = record.experiment, record.phases.get("train")
        same = all(other.settings.get(key) == settings[key] for key in ("identities", "clips", "holdout"))
        frames_per_clip = other.settings.get("epochs", 0) * other.settings.get("clip_frames", 0)  # over all epochs
        if training and other.dataset == experiment.dataset and same and frames_per_clip and not other.external:
            return training.items / frames_per_clip
    identities = find_dataset(experiment.dataset).published.get("train", {}).get("identities")
    if not identities:
        return None
    return math.ceil(identities / settings["identities"]) * settings["identities"] * settings["clips"]


def _extraction_seconds(experiment: Experiment, similar: Sequence[Record], records: Sequence[Record]) -> float:
    on_same_data = [record for record in records if record.experiment.test == experiment.test]
    frames = next((record.phases["extract"].items for record in on_same_data if "extract" in record.phases), 0)
    extracted = [each for each in similar if "extract" in each.phases and each.phases["extract"].per_second > 0]
    return frames / _speed(extracted, "extract") if extracted else 0.0


def _speed(records: Sequence[Record], phase: str) -> float:
    """The median frames/s of a phase that all records have."""
    return float(np.median([record.phases[phase].per_second for record in records]))


def _is_similar(experiment: Experiment, other: Experiment, keys: Sequence[str]) -> bool:
    return not other.external and all(_value(experiment, key) == _value(other, key) for key in keys)


def _value(experiment: Experiment, key: str) -> object:
    return split_method(experiment.method)[0] if key == "baseline" else experiment.settings.get(key)

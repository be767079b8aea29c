"""How long the rest of a suite will take, from what the runs so far took."""

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.data.loading import find_dataset
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.runs.records import Record, experiment_of

# Records to learn from, the best match first: the settings and parts of an experiment that are the same.
LIKENESS = (
    ("baseline", "backbone", "height", "width", "precision"),
    ("backbone", "height", "width", "precision"),
)


def like_the_last(found: Sequence[Record]) -> tuple[list[Record], bool]:
    """The records that were made on a GPU, or those that were not, as the last training was; and whether it was."""
    trained = [record for record in found if "train" in record["phases"]]
    last = max(trained, key=lambda record: str(record["finished"]), default=None)
    gpu = last is not None and bool(last["environment"]["gpu"])
    return made_on(found, gpu), gpu


def made_on(found: Sequence[Record], gpu: bool) -> list[Record]:
    """The records that were made on a GPU, or the others."""
    return [record for record in found if bool(record["environment"]["gpu"]) == gpu]


def seconds(experiment: Experiment, found: Sequence[Record]) -> float | None:
    """About how long a run will take, by the frames/s of recorded runs like it; None where nothing like it has run.

    The median of the best matches is taken. Drawing or indexing the data comes on top, once a machine.
    """
    clips = _clips(experiment, found)
    trained = [record for record in found if "train" in record["phases"]]
    for keys in LIKENESS:
        alike = [record for record in trained if _alike(experiment, experiment_of(record), keys)]
        if alike and clips is not None:
            speed = float(np.median([record["phases"]["train"]["per_second"] for record in alike]))
            frames = clips * experiment.settings["epochs"] * experiment.settings["clip_frames"]
            return frames / speed + _extraction(experiment, alike, found)
    return None


def _clips(experiment: Experiment, found: Sequence[Record]) -> float | None:
    """Clips an epoch: counted by a run on the same data, or from the published number of training identities."""
    settings = experiment.settings
    for record in found:
        there, run = experiment_of(record), record["phases"].get("train")
        same = all(there.settings.get(key) == settings[key] for key in ("identities", "clips", "holdout"))
        if run and there.dataset == experiment.dataset and same and not there.external:
            return float(run["items"] / there.settings["epochs"] / there.settings["clip_frames"])
    persons = find_dataset(experiment.dataset).published.get("train", {}).get("identities")
    return math.ceil(persons / settings["identities"]) * settings["identities"] * settings["clips"] if persons else None


def _extraction(experiment: Experiment, alike: Sequence[Record], found: Sequence[Record]) -> float:
    here = [record for record in found if record["experiment"]["test"] == experiment.test]
    frames = next((record["phases"]["extract"]["items"] for record in here if "extract" in record["phases"]), 0)
    return float(frames / np.median([record["phases"]["extract"]["per_second"] for record in alike]))


def _alike(experiment: Experiment, other: Experiment, keys: Sequence[str]) -> bool:
    return not other.external and all(_part(experiment, key) == _part(other, key) for key in keys)


def _part(experiment: Experiment, key: str) -> object:
    return split_method(experiment.method)[0] if key == "baseline" else experiment.settings.get(key)


def spelled(duration: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = round(duration / 60)
    if duration < 90:
        return f"{duration:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"

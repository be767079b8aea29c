"""Runs that were begun: what they are of, how far they have come, and how long the rest will take."""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.experiments.experiment import Experiment

from . import records


class Begun(NamedTuple):
    """A run that was begun and is not finished.

    state: "running", "failed" or "stopped"; detail: how far, or the error; share: of its epochs that have ended; left: seconds
    that the others will take, if each takes as long as the last; None where that is not known.
    """

    folder: records.RunFolder
    experiment: Experiment
    state: str
    detail: str
    share: float = 0.0
    left: float | None = None

    def __str__(self) -> str:
        return f"{self.folder.path.name}, {self.state}: {self.detail}"


def begun_in(place: Path) -> Iterator[tuple[records.RunFolder, Experiment]]:
    """The experiments that were begun below `place`, finished or not, by name."""
    for folder in records.folders(place):
        experiment = _begun(folder)
        if experiment is not None:
            yield folder, experiment


def _begun(folder: records.RunFolder) -> Experiment | None:
    try:
        said = json.loads(folder.settings.read_text())
        del said["code"]
        return Experiment(**said)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        print(f"bench: left out: {folder.settings}: not what a run begins with ({error})", file=sys.stderr)
        return None


def unfinished(place: Path) -> list[Begun]:
    """The runs below `place` that were begun and are not finished, by name."""
    runs = []
    for folder in records.folders(place):
        experiment = None if folder.record.exists() else _begun(folder)
        if experiment is None:
            continue
        (detail, share), left = _progress(folder, experiment), _left(folder, experiment)
        if folder.held:
            state = "running"
        elif folder.failure.exists():
            state, detail = "failed", folder.failure.read_text()
        else:
            state = "stopped"
        runs.append(Begun(folder, experiment, state, detail, share, left))
    return runs


def _progress(folder: records.RunFolder, experiment: Experiment) -> tuple[str, float]:
    """How far a run has come, in words and as a share of its epochs."""
    curve = folder.curves.read_text().split("\n")[:-1] if folder.curves.exists() else []  # lines that are whole
    if folder.weights.exists():
        return "trained, not evaluated", 1.0
    if curve:
        epoch, epochs = json.loads(curve[-1])["epoch"], experiment.settings["epochs"]
        return f"epoch {epoch} of {epochs}", epoch / epochs
    return "no epoch ended", 0.0


def _left(folder: records.RunFolder, experiment: Experiment) -> float | None:
    """By the times of the last two epochs in the log."""
    said = folder.log.read_text(errors="replace") if folder.log.exists() else ""
    ends = re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) epoch (\d+) ", said, re.MULTILINE)[-2:]
    if len(ends) < 2 or int(ends[1][1]) != int(ends[0][1]) + 1:
        return None
    before, last = (datetime.fromisoformat(time) for time, _ in ends)
    return (last - before).total_seconds() * (experiment.settings["epochs"] - int(ends[1][1]))

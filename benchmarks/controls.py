"""Controls: on walkers-gait only the order of frames tells people apart, so that it is known what a method must reach.

The thresholds stand here and nowhere else; `bench doctor --controls` runs the three quickest controls.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import records
from .records import Record, RunFolder, experiment_of

if TYPE_CHECKING:
    from .progress import Report

DATASET, RECIPE = "walkers-gait", "control"
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (("mean", ()), ("cnn3d", ()), ("cnn3d", ("shuffle=both",)))
# R1 in percent, under the data set's first protocol, before batch normalisation; the mean over seeds.
CHANCE = 1.37  # of the gallery tracklets that count for a query, the share of the same person's, averaged over queries
BLIND = 3 * CHANCE  # at most: of what cannot see the order of frames, and of everything where frames are shuffled
SEES = {"cnn3d": 50.0}  # at least
ABOVE_MEAN = {"flow": 20.0, "lstm": 20.0}  # at least so much above mean


def judge(found: Sequence[Record]) -> list[str]:
    """A line for each control that fails, among the plain baselines' runs on walkers-gait; empty: all hold.

    What was not run is not judged, but for what others are compared with.
    """
    values: dict[tuple[str, bool], list[float]] = {}
    for record in found:
        experiment = experiment_of(record)
        if (experiment.dataset, experiment.test) == (DATASET, DATASET) and not experiment.external:
            shuffled = experiment.settings["shuffle"] == "both"
            values.setdefault((experiment.method, shuffled), []).append(r1(record))
    means = {key: float(np.mean(each)) for key, each in values.items()}
    failures = []
    for (method, shuffled), value in sorted(means.items()):
        name = f"{method} with shuffled frames" if shuffled else method
        reached = f"{name} reaches R1 {value:.1f} on {DATASET}"
        if (shuffled or method == "mean") and value > BLIND:
            failures.append(
                f"{reached}, above {BLIND:.1f} (3 x chance): people can be told apart without the order of frames"
            )
        if not shuffled and value < SEES.get(method, 0):
            failures.append(f"{reached}, below {SEES[method]:.1f}: it does not see the order of frames")
        if not shuffled and method in ABOVE_MEAN:
            still = means.get(("mean", False))
            if still is None:
                failures.append(f"{name} cannot be judged: mean was not run on {DATASET}")
            elif value < still + ABOVE_MEAN[method]:
                failures.append(f"{reached}, not {ABOVE_MEAN[method]:.0f} above mean ({still:.1f})")
    return failures


def standing(found: Sequence[Record], baselines: Sequence[str]) -> str:
    """What is wrong with these baselines' controls and those of `mean`, or which were not run, on one line; "": all hold."""
    named = {*baselines, "mean"}
    here = [record for record in found if experiment_of(record).method in named]
    there = [experiment_of(record) for record in here if experiment_of(record).test == DATASET]
    run = {(each.method, each.settings["shuffle"]) for each in there if not each.external}
    wanted = [(name, shuffle) for name in sorted(named) for shuffle in ("none", "both")]
    lacking = [
        f"{name}{' with shuffled frames' * (shuffle == 'both')}"
        for name, shuffle in wanted
        if (name, shuffle) not in run
    ]
    missing = [f"not run on {DATASET}: {', '.join(lacking)} (bench suite run controls)"] if lacking else []
    return "; ".join([*judge(here), *missing])


def r1(record: Record) -> float:
    """In percent, under the record's first protocol, before batch normalisation."""
    return 100 * float(next(row["R1"] for row in record["metrics"] if row["feature"] == "before"))


def run_quick(report: "Report") -> list[Record]:
    """The records of the QUICK controls: those that are finished and current, the others run now (minutes on two cores)."""
    from .run import Machine, plan, run

    made = []
    for method, changes in QUICK:
        experiment, settings, data = plan(
            method, DATASET, recipe=RECIPE, changes=changes, seed=0, split=0, root=None, report=report
        )
        folder = RunFolder(records.results() / experiment.name)
        record = records.read(folder)
        if record is None or records.stale(record, {}):
            record = run(experiment, settings, data, folder, Machine(0, 10.0, report), fresh=record is not None)
        made.append(record)
    return made

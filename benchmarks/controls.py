"""Controls: data on which it is known what a method must reach.

On walkers-gait only the order of frames tells people apart, on walkers-appearance only what they wear. The thresholds stand here
and nowhere else; `bench doctor --controls` runs the three quickest controls.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import records
from .records import Record, RunFolder, experiment_of
from .suites.claims import ORDERED

if TYPE_CHECKING:
    from .progress import Report

DATASET, APPEARANCE, RECIPE = "walkers-gait", "walkers-appearance", "control"
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (("mean", ()), ("cnn3d", ()), ("cnn3d", ("shuffle=both",)))
# R1 in percent, under the data set's first protocol, before batch normalisation; the mean over seeds.
CHANCE = 1.37  # of the gallery tracklets that count for a query, the share of the same person's, averaged over queries
BLIND = 3 * CHANCE  # at most: of what cannot see the order of frames, and of everything where frames are shuffled
LEAST = {**dict.fromkeys(ORDERED, BLIND), "cnn3d": 50.0}  # on walkers-gait
LEAST_BESIDE_MEAN = {"flow": 20.0, "lstm": 20.0}  # on walkers-gait, in points more than mean
LEAST_BY_APPEARANCE = {name: -10.0 for name in ORDERED if name != "flow-only"}  # on walkers-appearance, likewise


def judge(found: Sequence[Record]) -> list[str]:
    """A line for each control that fails, among the plain baselines' runs; empty: all hold.

    What was not run is not judged, but for what others are compared with.
    """
    values: dict[tuple[str, str, bool], list[float]] = {}
    for record in filter(is_control, found):
        experiment = experiment_of(record)
        shuffled = experiment.settings["shuffle"] == "both"
        values.setdefault((experiment.dataset, experiment.method, shuffled), []).append(r1(record))
    means = {key: float(np.mean(each)) for key, each in values.items()}
    failures = []
    for (dataset, method, shuffled), value in sorted(means.items()):
        name = f"{method} with shuffled frames" if shuffled else method
        reached = f"{name} reaches R1 {value:.1f} on {dataset}"
        by_order = dataset == DATASET
        if by_order and (shuffled or method == "mean") and value > BLIND:
            failures.append(
                f"{reached}, above {BLIND:.1f} (3 x chance): people can be told apart without the order of frames"
            )
        if shuffled:
            continue
        if by_order and value < LEAST.get(method, 0):
            failures.append(f"{reached}, below {LEAST[method]:.1f}: it does not see the order of frames")
        least = (LEAST_BESIDE_MEAN if by_order else LEAST_BY_APPEARANCE).get(method)
        still = means.get((dataset, "mean", False))
        if least is not None and still is None:
            failures.append(f"{name} cannot be judged: mean was not run on {dataset}")
        elif least is not None and still is not None and value < still + least:
            failures.append(f"{reached}, which must be {least:+.0f} beside mean ({still:.1f}) at least")
    return failures


def standing(found: Sequence[Record], baselines: Sequence[str]) -> str:
    """What is wrong with these baselines' controls and those of `mean`, or which were not run, on one line; "": all hold."""
    named = {*baselines, "mean"}
    here = [record for record in found if experiment_of(record).method in named]
    there = [experiment_of(record) for record in filter(is_control, here)]
    run = {(each.method, each.settings["shuffle"]) for each in there if each.dataset == DATASET}
    wanted = [(name, shuffle) for name in sorted(named) for shuffle in ("none", "both")]
    lacking = [
        f"{name}{' with shuffled frames' * (shuffle == 'both')}"
        for name, shuffle in wanted
        if (name, shuffle) not in run
    ]
    missing = [f"not run on {DATASET}: {', '.join(lacking)} (bench suite run controls)"] if lacking else []
    return "; ".join([*judge(here), *missing])


def is_control(record: Record) -> bool:
    """Whether a record is of our run by the controls' recipe, on one of their data sets."""
    experiment = experiment_of(record)
    return experiment.recipe == RECIPE and experiment.dataset == experiment.test in (DATASET, APPEARANCE)


def at_hand() -> list[Record]:
    """The finished controls below BENCH_RESULTS that the code of today made."""
    return [
        record for record in records.finished(records.results()) if is_control(record) and not records.stale(record, {})
    ]


def r1(record: Record) -> float:
    """In percent, under the record's first protocol, before batch normalisation."""
    return 100 * float(next(row["R1"] for row in record["metrics"] if row["feature"] == "before"))


def run_quick(report: "Report") -> None:
    """Run those of the QUICK controls that are not finished, or not by the code of today (minutes on two cores)."""
    from .run import Machine, plan, run

    for method, changes in QUICK:
        experiment, settings, data = plan(
            method, DATASET, recipe=RECIPE, changes=changes, seed=0, split=0, root=None, report=report
        )
        folder = RunFolder(records.results() / experiment.name)
        record = records.read(folder)
        if record is None or records.stale(record, {}):
            run(experiment, settings, data, folder, Machine(0, 10.0, report), fresh=record is not None)

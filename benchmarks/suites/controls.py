"""Controls: data on which it is known what a method must reach.

On walkers-gait only the order of frames tells people apart, on walkers-appearance only what they wear. The thresholds stand here
and nowhere else; `bench doctor --controls` runs the three quickest controls, and judges all that are at hand.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.paths import results_dir
from benchmarks.runs import records
from benchmarks.runs.records import Record, RunFolder, experiment_of

from .claims import ORDER_SENSITIVE

if TYPE_CHECKING:
    from benchmarks.progress import ReportProgress

DATASET, APPEARANCE, RECIPE = "walkers-gait", "walkers-appearance", "control"
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (("mean", ()), ("cnn3d", ()), ("cnn3d", ("shuffle=both",)))
# R1 in percent, under the data set's first protocol, before batch normalisation; the mean over seeds.
CHANCE = 1.37  # of the gallery tracklets that count for a query, the share of the same person's, averaged over queries
BLIND = 3 * CHANCE  # at most: of what cannot see the order of frames, and of everything where frames are shuffled
BESIDE_MEAN = {"flow": 20.0, "lstm": 20.0}  # at least, on walkers-gait: points more than mean
LEAST = {**{name: BLIND for name in ORDER_SENSITIVE if name not in BESIDE_MEAN}, "cnn3d": 50.0}  # on walkers-gait
BESIDE_MEAN_BY_APPEARANCE = {name: -10.0 for name in ORDER_SENSITIVE if name != "flow-only"}  # on walkers-appearance


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
        beside = (BESIDE_MEAN if by_order else BESIDE_MEAN_BY_APPEARANCE).get(method)
        still = means.get((dataset, "mean", False))
        if beside is not None and still is None:
            failures.append(f"{name} cannot be judged: mean was not run on {dataset}")
        elif beside is not None and still is not None and value < still + beside:
            failures.append(f"{reached}, below {still + beside:.1f}: mean's {still:.1f} {beside:+.0f}")
    return failures


def standing(found: Sequence[Record], baselines: Sequence[str]) -> str:
    """What is wrong with these baselines' controls and those of `mean`, or which were not run, on one line; "": all hold."""
    named = sorted({*baselines, "mean"})
    here = [record for record in found if experiment_of(record).method in named]
    missing = lacking(here, named)
    return "; ".join(
        [*judge(here), *([f"not run: {', '.join(missing)} (bench suite run controls)"] if missing else [])]
    )


def lacking(found: Sequence[Record], baselines: Sequence[str]) -> list[str]:
    """Which controls of these baselines were not run: on walkers-gait plain and shuffled, and where clothes decide."""
    run = {
        (each.method, each.dataset, each.settings["shuffle"]) for each in map(experiment_of, filter(is_control, found))
    }
    wanted = [(name, DATASET, shuffle) for name in baselines for shuffle in ("none", "both")]
    wanted += [(name, APPEARANCE, "none") for name in baselines if name in {"mean", *BESIDE_MEAN_BY_APPEARANCE}]
    return [
        f"{name}{' with shuffled frames' * (shuffle == 'both')} on {dataset}"
        for name, dataset, shuffle in wanted
        if (name, dataset, shuffle) not in run
    ]


def is_control(record: Record) -> bool:
    """Whether a record is of our run by the controls' recipe and nothing else, on one of their data sets."""
    experiment = experiment_of(record)
    if experiment.recipe != RECIPE or not experiment.dataset == experiment.test in (DATASET, APPEARANCE):
        return False
    return changed_from_recipe(RECIPE, experiment.method, experiment.settings) in ({}, {"shuffle": "both"})


def r1(record: Record) -> float:
    """In percent, under the record's first protocol, before batch normalisation."""
    return 100 * float(next(row["R1"] for row in record["metrics"] if row["feature"] == "before"))


def run_quick(report: "ReportProgress") -> None:
    """Run those of the QUICK controls that are not finished, or not by the code of today (minutes on two cores)."""
    from benchmarks.engine.run import Machine, plan, run

    for method, changes in QUICK:
        experiment, settings, data = plan(
            method, DATASET, recipe=RECIPE, changes=changes, seed=0, split=0, root=None, report=report
        )
        folder = RunFolder(results_dir() / experiment.name)
        record = records.read(folder)
        if record is None or records.stale(record, {}):
            run(experiment, settings, data, folder, Machine(0, 10.0, report), fresh=record is not None)

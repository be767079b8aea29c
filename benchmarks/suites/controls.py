"""Controls: data sets with a known result, and the thresholds that each method must reach on them.

On walkers-gait only the order of frames tells people apart, on walkers-appearance only their clothes. All thresholds are in this
file; `bench doctor --controls` runs the quick controls and judges all that have run.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.runs.record import Record

from .claims import ORDER_SENSITIVE

DATASET, APPEARANCE, RECIPE = "walkers-gait", "walkers-appearance", "control"
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (("mean", ()), ("cnn3d", ()), ("cnn3d", ("shuffle=both",)))
# Thresholds for R1, in percent, under the data set's first protocol, before batch normalisation; of the mean over seeds.
CHANCE = 1.37  # of a random ranking: the mean share of right tracklets among those that a query is ranked against
BLIND = 3 * CHANCE  # at most: for methods that cannot see the order of frames, and for all methods on shuffled frames
# On walkers-gait, at least: points above mean, or R1 itself.
ABOVE_MEAN = {"flow": 20.0, "lstm": 20.0}
LEAST = {**{name: BLIND for name in ORDER_SENSITIVE if name not in ABOVE_MEAN}, "cnn3d": 50.0}
# On walkers-appearance, at least: points above mean.
ABOVE_MEAN_BY_APPEARANCE = {name: -10.0 for name in ORDER_SENSITIVE if name != "flow-only"}


def judge(records: Sequence[Record]) -> list[str]:
    """A line for each control that fails among the plain baselines' runs; empty if all hold.

    A control that has not run is not judged, unless others are compared with it.
    """
    values: dict[tuple[str, str, bool], list[float]] = {}
    for record in filter(is_control, records):
        experiment = record.experiment
        shuffled = experiment.settings["shuffle"] == "both"
        values.setdefault((experiment.dataset, experiment.method, shuffled), []).append(r1(record))
    means = {key: float(np.mean(each)) for key, each in values.items()}
    failures = []
    for (dataset, method, shuffled), value in sorted(means.items()):
        name = f"{method} with shuffled frames" if shuffled else method
        result = f"{name} reaches R1 {value:.1f} on {dataset}"
        gait = dataset == DATASET
        if gait and (shuffled or method == "mean") and value > BLIND:
            failures.append(
                f"{result}, above {BLIND:.1f} (3 x chance): people can be told apart without the order of frames"
            )
        if shuffled:
            continue
        if gait and value < LEAST.get(method, 0):
            failures.append(f"{result}, below {LEAST[method]:.1f}: it does not see the order of frames")
        margin = (ABOVE_MEAN if gait else ABOVE_MEAN_BY_APPEARANCE).get(method)
        mean = means.get((dataset, "mean", False))
        if margin is not None and mean is None:
            failures.append(f"{name} cannot be judged: mean was not run on {dataset}")
        elif margin is not None and mean is not None and value < mean + margin:
            failures.append(f"{result}, below {mean + margin:.1f}: mean's {mean:.1f} {margin:+.0f}")
    return failures


def problems(records: Sequence[Record], baselines: Sequence[str]) -> str:
    """The failed and missing controls of these baselines and of `mean`, on one line; "" if all have run and hold."""
    names = sorted({*baselines, "mean"})
    here = [record for record in records if record.experiment.method in names]
    not_run = missing(here, names)
    return "; ".join(
        [*judge(here), *([f"not run: {', '.join(not_run)} (bench suite run controls)"] if not_run else [])]
    )


def missing(records: Sequence[Record], baselines: Sequence[str]) -> list[str]:
    """The controls of these baselines that have not run: on walkers-gait plain and shuffled, and on walkers-appearance."""
    experiments = [record.experiment for record in filter(is_control, records)]
    run = {(each.method, each.dataset, each.settings["shuffle"]) for each in experiments}
    wanted = [(name, DATASET, shuffle) for name in baselines for shuffle in ("none", "both")]
    wanted += [(name, APPEARANCE, "none") for name in baselines if name in {"mean", *ABOVE_MEAN_BY_APPEARANCE}]
    return [
        f"{name}{' with shuffled frames' * (shuffle == 'both')} on {dataset}"
        for name, dataset, shuffle in wanted
        if (name, dataset, shuffle) not in run
    ]


def is_control(record: Record) -> bool:
    """Whether a record is of our run by the controls' recipe, unchanged but for the shuffling, on one of their data sets."""
    experiment = record.experiment
    if experiment.recipe != RECIPE or not experiment.dataset == experiment.test in (DATASET, APPEARANCE):
        return False
    if "shuffle" not in experiment.settings:
        return False
    return changed_from_recipe(RECIPE, experiment.method, experiment.settings) in ({}, {"shuffle": "both"})


def r1(record: Record) -> float:
    """In percent, under the record's first protocol, before batch normalisation; 0 where no query has a match."""
    metrics = record.find_metrics(record.first_protocol, "before")
    return (metrics.percent("R1") if metrics else None) or 0.0

"""Controls: data sets with a known result, and the thresholds that each method must reach on them.

On walkers-gait only the order of frames tells people apart, on walkers-appearance only their clothes. All thresholds are in
this file. A control is valid only for the settings with which it ran: a claim about motion needs controls with the recipe of
its own runs. `bench doctor --controls` runs the quick controls, with the recipe `control`, and judges all controls that ran
with it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from baselines import BASELINES, order_readers
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.experiments.methods import ATTACHED, ATTACHMENTS, split_method
from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.runs.record import Record

from .claims import ORDER_SENSITIVE
from .suite import Choice, Planned, Row, experiments_of_row, settings_for

DATASET, APPEARANCE, RECIPE = "walkers-gait", "walkers-appearance", "control"
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (("mean", ()), ("cnn3d", ()), ("cnn3d", ("shuffle=both",)))
# Settings in which a control may differ from the runs that it applies to: its own changes, AFA's, and those of a machine.
FREE = {"shuffle", "threads", "granularity", "coherence_norm", *ATTACHED}
# Settings that `mean` must share with a baseline that is compared with it; its clips and learning rate may differ.
SHARED = ("backbone", "weights", "height", "width", "epochs", "tuning_trials")
# Thresholds for R1, in percent: the mean over seeds, under the data set's first protocol, before batch normalisation.
CHANCE = 1.37  # of a random ranking: the mean share of right tracklets among those that a query is ranked against
BLIND = 3 * CHANCE  # the most for methods that cannot see the order of frames, and for all methods on shuffled frames
# The least on walkers-gait: points above mean, or R1 itself.
ABOVE_MEAN = {"flow": 20.0, "lstm-changes": 20.0, "lstm-residual": 20.0}
LEAST = {**{name: BLIND for name in ORDER_SENSITIVE if name not in ABOVE_MEAN}, "cnn3d": 50.0}
# The least on walkers-appearance, for all methods that see clothes: points above mean.
BESIDE_MEAN, SEES_NO_CLOTHES = -10.0, "flow-only"


def judge(records: Sequence[Record]) -> list[str]:
    """A line for each control that fails among the runs of plain baselines, for each group of settings; empty if all pass.

    A control that has not run is not judged. A baseline that must be compared with `mean` fails if `mean` has not run.
    """
    values: dict[tuple[str, str, bool, str], list[float]] = {}
    means: dict[tuple[str, str], list[float]] = {}  # R1 of `mean` by data set and SHARED settings
    shared = {}
    for record in filter(is_control, records):
        experiment = record.experiment
        settings = experiment.settings
        shuffled = settings["shuffle"] == "both"
        key = (experiment.dataset, experiment.method, shuffled, same_recipe(settings))
        values.setdefault(key, []).append(r1(record))
        shared[key] = json.dumps([settings[name] for name in SHARED])
        if experiment.method == "mean" and not shuffled:
            means.setdefault((experiment.dataset, shared[key]), []).append(r1(record))
    failures = []
    blind = set(BASELINES.names()) - {*order_readers()}  # not those of plug-ins that are not loaded
    for key, figures in sorted(values.items()):
        dataset, method, shuffled, _ = key
        value = float(np.mean(figures))
        name = f"{method} with shuffled frames" if shuffled else method
        result = f"{name} reaches R1 {value:.1f} on {dataset}"
        gait = dataset == DATASET
        if gait and (shuffled or method in blind) and value > BLIND:
            failures.append(
                f"{result}, above {BLIND:.1f} (3 x chance): people can be told apart without the order of frames"
            )
        if shuffled:
            continue
        if gait and value < LEAST.get(method, 0):
            failures.append(f"{result}, below {LEAST[method]:.1f}: it does not see the order of frames")
        margin = ABOVE_MEAN.get(method) if gait else BESIDE_MEAN
        if margin is None or (not gait and method in ("mean", SEES_NO_CLOTHES)):
            continue
        if (dataset, shared[key]) not in means:
            failures.append(f"{name} cannot be judged: mean was not run on {dataset}")
            continue
        mean = float(np.mean(means[dataset, shared[key]]))
        if value < mean + margin:
            failures.append(f"{result}, below {mean + margin:.1f}: mean's {mean:.1f} {margin:+.0f}")
    return failures


def problems(records: Sequence[Record], judged: Mapping[str, Mapping[str, Any]]) -> str:
    """The failed and missing controls of some baselines, and of `mean`, on one line; "" if all have run and pass.

    Args:
        judged: for each baseline the settings of the runs about which something is claimed. Only controls with the same settings
            count, apart from those in FREE. Those of `mean`, unless it is named, count if they share SHARED with any.
    """
    here = [record for record in filter(is_control, records) if _speaks_for(record, judged)]
    not_run = missing(here, sorted({*judged, "mean"}))
    remedy = "bench suite run controls, with the same recipe"
    return "; ".join(
        [*judge(here), *([f"not run with the same settings: {', '.join(not_run)} ({remedy})"] if not_run else [])]
    )


def _speaks_for(control: Record, judged: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a control applies to the judged runs, as `problems` says."""
    method, settings = control.experiment.method, control.experiment.settings
    if method in judged:
        return same_recipe(settings) == same_recipe(judged[method])
    return method == "mean" and any(
        all(settings.get(key) == each.get(key) for key in SHARED) for each in judged.values()
    )


def same_recipe(settings: Mapping[str, Any]) -> str:
    """A string that is equal for the settings of a run and of a control that applies to it."""
    return json.dumps({key: value for key, value in settings.items() if key not in FREE}, sort_keys=True)


def missing(records: Sequence[Record], baselines: Sequence[str]) -> list[str]:
    """The controls of these baselines that have not run: on walkers-gait plain and shuffled, and on walkers-appearance."""
    experiments = [record.experiment for record in filter(is_control, records)]
    run = {(each.method, each.dataset, each.settings["shuffle"]) for each in experiments}
    wanted = [(name, DATASET, shuffle) for name in baselines for shuffle in ("none", "both")]
    wanted += [
        (name, APPEARANCE, "none") for name in baselines if name in {"mean", *ORDER_SENSITIVE} - {SEES_NO_CLOTHES}
    ]
    return [
        f"{name}{' with shuffled frames' * (shuffle == 'both')} on {dataset}"
        for name, dataset, shuffle in wanted
        if (name, dataset, shuffle) not in run
    ]


def on_gait(row: Row, dataset: str, choice: Choice) -> list[Planned]:
    """The controls on walkers-gait that apply to a row trained on `dataset`, with its number of threads; none if it has AFA."""
    if split_method(row.method)[1]:
        return []

    def kept(changes: Sequence[str]) -> tuple[str, ...]:
        return tuple(text for text in changes if text.partition("=")[0] not in FREE - {"threads"})

    same = replace(row, changes=kept(row.changes), recipe=settings_for(row, dataset, choice)[0])
    return experiments_of_row(
        same, DatasetPair(DATASET, DATASET), replace(choice, changes=kept(choice.changes), first_seed=0)
    )


def sees_no_order(method: str, gait: float) -> bool:
    """Whether a baseline reads order, but its R1 on walkers-gait is below its threshold in LEAST, or below BLIND if it has none.

    gait: this R1, in percent.
    """
    return method in order_readers() and gait < LEAST.get(method, BLIND)


def is_control(record: Record) -> bool:
    """Whether a record is a control: our own run of a plain baseline on walkers-gait or walkers-appearance.

    Its frames are in order both in training and at test, or shuffled in both.
    """
    experiment = record.experiment
    settings = experiment.settings
    return (
        not experiment.external
        and "+" not in experiment.method
        and experiment.dataset == experiment.test in (DATASET, APPEARANCE)
        and settings.get("shuffle") in ("none", "both")
        and all(settings.get(key) == value for key, value in {**ATTACHMENTS[""], "test_frames": 0}.items())
    )


def by_own_recipe(record: Record) -> bool:
    """Whether a record is a control by the recipe `control`, unchanged but for the shuffling."""
    experiment = record.experiment
    return (
        is_control(record)
        and experiment.recipe == RECIPE
        and changed_from_recipe(RECIPE, experiment.method, experiment.settings) in ({}, {"shuffle": "both"})
    )


def r1(record: Record) -> float:
    """R1 in percent, under the record's first protocol, before batch normalisation; 0 if no query has a match."""
    metrics = record.find_metrics(record.first_protocol, "before")
    return (metrics.percent("R1") if metrics else None) or 0.0

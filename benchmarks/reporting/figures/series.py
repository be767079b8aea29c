"""Which runs a figure may compare, and the intervals of their results and differences.

A figure of comparisons shows one context: runs that share everything but what the figure varies. Where there are several, the
one that covers most of the figure is shown, and the runs of the others are counted.
"""

import json
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from benchmarks.experiments.code_digest import same_numbers
from benchmarks.experiments.methods import ATTACHED
from benchmarks.experiments.settings import SEARCHED, changed_from_recipe, resolve
from benchmarks.reporting import statistics
from benchmarks.reporting.data_versions import data_versions
from benchmarks.reporting.pairing import number_and_age
from benchmarks.reporting.provenance import data_notes
from benchmarks.reporting.query_results import TEST_TO_TRAIN, fraction_matrix, repetition, split_means
from benchmarks.reporting.statistics import Interval
from benchmarks.reporting.verdict import CONTROLS, margin
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites import controls
from benchmarks.suites.suite import Row

Key = TypeVar("Key", bound=Hashable)
Series = dict[Key, list[FinishedRun]]


def choose(
    runs: Sequence[FinishedRun],
    key: Callable[[FinishedRun], Key | None],
    varied: Collection[str],
    place: Callable[[FinishedRun], Hashable] | None = None,
    covered: Callable[[Collection[Key]], int] = len,
    fixed: Collection[str] = (),
) -> tuple[Series[Key], int]:
    """The runs of the context that covers most of the figure, by `key`, and how many runs of other contexts are left out.

    Args:
        key: of the series that a run belongs to; None: the run is not of this figure.
        varied: the settings that differ between series.
        place: what the data of compared runs must have in common; None: the data sets and their versions.
        covered: how much of the figure these series fill; of contexts that fill equally much, the one with the most runs is
            chosen, and of those the newest.
        fixed: the settings that no series may have of its own, as methods and tuned recipes otherwise may.

    Returns:
        The runs of a series share all settings and the code, and are ordered by seed and split, one for each.
    """
    contexts: dict[Hashable, dict[Key, dict[str, dict[tuple[int, int], FinishedRun]]]] = {}
    versions = data_versions(run.experiment for run in runs)
    asked = 0
    for run in sorted(runs, key=lambda run: run.record.finished):  # of two runs of one seed the newer is kept
        experiment = run.experiment
        if experiment.external or (series := key(run)) is None:
            continue
        asked += 1
        read = versions(experiment)
        where = place(run) if place else (experiment.datasets, read.trained_on, read.tested_on)
        context = (_shared_settings(run, varied, fixed), where, read.weights, run.record.environment.processor)
        files = read.attributes, read.flow_weights
        own = json.dumps([experiment.settings, files, same_numbers(run.record.code)], sort_keys=True)
        found = contexts.setdefault(context, {}).setdefault(series, {}).setdefault(own, {})
        found[experiment.seed, experiment.split] = run
    kept = [
        {series: max(by_settings.values(), key=number_and_age) for series, by_settings in context.items()}
        for context in contexts.values()
    ]
    if not kept:
        return {}, 0
    best = max(reversed(kept), key=lambda context: (covered(context), sum(map(len, context.values()))))
    chosen = {series: [by_seed[each] for each in sorted(by_seed)] for series, by_seed in best.items()}
    return chosen, asked - sum(map(len, chosen.values()))


def _shared_settings(run: FinishedRun, varied: Collection[str], fixed: Collection[str]) -> str:
    """The recipe and the changes from it; for a recipe that this project lacks, the settings that do not depend on the method,
    and those that are `fixed`.
    """
    experiment = run.experiment
    changed = changed_from_recipe(experiment.recipe, experiment.method, experiment.settings)
    if changed is None:
        own = {*ATTACHED, *SEARCHED, "test_chunk"} - set(fixed)
        changed = {key: value for key, value in experiment.settings.items() if key not in own}
    return json.dumps([experiment.recipe, {key: changed[key] for key in sorted(changed) if key not in varied}])


def varied_by(rows: Sequence[Row]) -> set[str]:
    """The settings that a suite's rows change."""
    return {change.partition("=")[0] for row in rows for change in row.changes}


def row_of(rows: Sequence[Row]) -> Callable[[FinishedRun], str | None]:
    """The label of the row that a run belongs to, by its method and by the settings that any of the rows changes."""
    keys = varied_by(rows)
    wanted = []
    for row in rows:
        settings = resolve("paper", row.method, row.changes).as_dict()
        wanted.append((row.method, {key: settings[key] for key in keys}, row.label))

    def find(run: FinishedRun) -> str | None:
        method, settings = run.experiment.method, run.experiment.settings
        own = {key: settings.get(key) for key in keys}
        return next((label for name, each, label in wanted if (name, each) == (method, own)), None)

    return find


def left_out(others: int) -> list[str]:
    """A note on the runs of other contexts."""
    return [f"Runs with other settings or of another processor, which are not drawn: {others}."] if others else []


def notes_on_data(shown: Iterable[Sequence[FinishedRun]]) -> list[str]:
    """What must be said of the data of the runs that a figure shows."""
    return data_notes(run.record for runs in shown for run in runs)


def doubts(runs: Sequence[FinishedRun], name: str, compared: Sequence[FinishedRun]) -> list[str]:
    """A note if a baseline fails its controls, or they did not run with the settings of the compared runs.

    Args:
        runs: all runs, among which the controls are looked for.
    """
    settings = compared[0].experiment.settings
    problems = controls.problems([run.record for run in runs], {name: settings})
    return [f"{name} ({compared[0].experiment.datasets.title}): {CONTROLS}: {problems}."] if problems else []


def of_tested(runs: Sequence[FinishedRun], dataset: str | None) -> list[FinishedRun]:
    """The runs trained and tested on one data set: on this one, or on any."""
    pairs = [(run, run.experiment.datasets) for run in runs]
    return [run for run, pair in pairs if pair.trained_on == pair.tested_on and dataset in (None, pair.tested_on)]


def repeated(runs: Sequence[FinishedRun]) -> dict[tuple[int, int], FinishedRun]:
    """Runs by their seed and split."""
    return {(run.experiment.seed, run.experiment.split): run for run in runs}


def in_common(several: Sequence[Sequence[FinishedRun]]) -> list[list[FinishedRun]]:
    """For each of several series, the runs of the seeds and splits that all of them have."""
    by_seed = [repeated(runs) for runs in several]
    common = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    return [[each[key] for key in common] for each in by_seed]


def negligible() -> float:
    """Differences nearer to 0 than this are negligible, in points."""
    return 100 * margin()


# Intervals ------------------------------------------------------------------------------------------------------------


def result(runs: Sequence[FinishedRun], metric: str, protocol: str | None) -> Interval | None:
    """The mean of one method and its interval; None where the runs have no results."""
    values, pids = fraction_matrix(runs, metric, protocol)
    return mean(values, pids, runs) if values.size else None


def mean(values: np.ndarray, pids: np.ndarray, runs: Sequence[FinishedRun]) -> Interval | None:
    """The mean and its interval, which is unknown where all queries show one person; None where no query has a match.

    Args:
        values: (S, Q) fractions, a row for each run.
        pids: (Q,).
    """
    matched = ~np.isnan(values).all(axis=1)
    if not matched.any():
        return None
    if repetition(runs)[0] == "split":
        known = [run for run, has in zip(runs, matched, strict=True) if has]
        over = statistics.over_splits(split_means(np.nanmean(values[matched], axis=1), known), TEST_TO_TRAIN)
        return replace(over, low=max(over.low, 0.0), high=min(over.high, 1.0))
    question = _question(len(values))
    try:
        return statistics.mean(values, pids, question)
    except ValueError:
        return _unknown(values, question)


def difference(
    runs: Sequence[FinishedRun], others: Sequence[FinishedRun], metric: str, protocol: str | None
) -> Interval | None:
    """`runs` less `others`, paired by seed, split and query; None where they have nothing in common."""
    ours, theirs = in_common([runs, others])
    (values, pids), (against, _) = (fraction_matrix(each, metric, protocol) for each in (ours, theirs))
    if not values.size or values.shape != against.shape:
        return None
    if repetition(ours)[0] == "split":
        splits = np.array([run.experiment.split for run in ours])
        return statistics.difference_over_splits(values, against, pids, splits)
    question = _question(len(values))
    try:
        return statistics.difference(values, against, pids, question)
    except ValueError:
        return _unknown(values - against, question)


def _question(runs: int) -> statistics.Question:
    return "methods" if runs > 1 else "checkpoints"


def _unknown(values: np.ndarray, question: statistics.Question) -> Interval:
    """A mean without an interval."""
    return Interval(float(np.nanmean(np.nanmean(values, axis=1))), math.nan, math.nan, question, ())


def counted(several: Sequence[Sequence[FinishedRun]], protocol: str | None) -> str:
    """`seeds per point: 3; protocol official`, for a note."""
    counts = ", ".join(map(str, sorted({repetition(runs)[1] for runs in several})))
    units = " or ".join(dict.fromkeys(f"{repetition(runs)[0]}s" for runs in several))
    most = max(map(len, several))
    in_all = f", up to {most} runs" if most > max(repetition(runs)[1] for runs in several) else ""
    return f"{units} per point: {counts}{in_all}; protocol {protocol or several[0][0].record.first_protocol}"

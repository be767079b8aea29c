"""The data of a figure: lines, bands and texts from finished runs. `drawing` draws them.

Nothing here imports matplotlib, and nothing in `drawing` reads a run.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.runs.finished import FinishedRun

from . import statistics
from .provenance import data_notes
from .query_results import TEST_TO_TRAIN, fraction_matrix, query_matrix, repetition, split_means
from .table import tables

RANKS = 20  # of a CMC curve
MOST_LINES = 7  # per panel; more cannot be told apart
NOT_A_TERM = {"epoch", "iteration", "lr", "means_of"}
LEVEL = "95% interval: for one run, over other people; for several, also over other seeds or splits"


@dataclass(frozen=True)
class Line:
    """A curve and its band; low and high are NaN where the band is unknown."""

    label: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Panel:
    """A pair of axes.

    Attributes:
        ticks: (x, text) where the axis has ticks of its own.
        empty: why there are no lines.
    """

    title: str
    x: str
    y: str
    lines: list[Line] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)
    empty: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure: the name of its file, a title, panels side by side, and notes below them."""

    name: str
    title: str
    panels: list[Panel]
    notes: list[str]


def cmc(runs: Sequence[FinishedRun], protocol: str | None = None) -> Figure:
    """Share of the queries with a hit among the first k, up to k = 20: a panel per data set, a line per method."""
    panels, notes, hidden = [], [], 0
    for title, groups in _groups(runs, protocol):
        lines = [line for label, found in groups if (line := _cmc_line(label, found, protocol))]
        lines.sort(key=lambda line: -line.y[0])
        hidden += len(lines[MOST_LINES:])
        empty = "" if lines else "these runs have no per-query results"
        panels.append(Panel(title, "rank k", "queries matched by rank k, %", lines[:MOST_LINES], empty=empty))
        notes.append(f"{title}: protocol {protocol or groups[0][1][0].record.first_protocol}")
    panels = panels or [Panel("", "rank k", "queries matched by rank k, %", empty="no finished runs")]
    notes += data_notes(run.record for run in runs)
    return Figure("cmc", "Cumulative match", panels, [*notes, f"Bands: {LEVEL}.", *_left_out(hidden)])


def _cmc_line(label: str, runs: Sequence[FinishedRun], protocol: str | None) -> Line | None:
    first, pids = query_matrix(runs, "first_hit_rank", protocol)
    if not first.size:
        return None
    ranks = range(1, RANKS + 1)
    points = [_interval(np.where(np.isnan(first), np.nan, first <= k), pids, runs) for k in ranks]
    return _line(label, list(ranks), points)


def training(runs: Sequence[FinishedRun]) -> Figure:
    """The loss terms by epoch, a panel per term: the mean over seeds with its interval."""
    grouped = [(f"{label} on {title}", found) for title, groups in _groups(runs, None) for label, found in groups]
    if len({title for title, _ in _groups(runs, None)}) == 1:
        grouped = [(label.rpartition(" on ")[0], found) for label, found in grouped]
    lines: dict[str, list[Line]] = {}
    for label, found in grouped:
        curves = [curve.set_index("epoch") for run in found if not (curve := run.curves()).empty]
        for term in dict.fromkeys(term for curve in curves for term in curve.columns if term not in NOT_A_TERM):
            values = [curve[term].to_dict() for curve in curves if term in curve]
            epochs = sorted(set(values[0]).intersection(*values))
            seeds = np.array([[value[epoch] for epoch in epochs] for value in values])
            half = (
                stats.sem(seeds) * stats.t.isf(0.025, len(seeds) - 1)
                if len(seeds) > 1 and repetition(found)[0] == "seed"
                else np.full(len(epochs), np.nan)
            )
            mean = seeds.mean(0)
            parts = (part.tolist() for part in (mean, mean - half, mean + half))
            lines.setdefault(term, []).append(Line(label, epochs, *parts))
    hidden = max((len(of_term[MOST_LINES:]) for of_term in lines.values()), default=0)
    panels = [
        Panel(term.replace("_", " "), "epoch", "mean over the epoch", of_term[:MOST_LINES])
        for term, of_term in lines.items()
    ]
    if not panels:
        reason = "no curves: exported records have none, nor have runs of 0 epochs or of features from other code"
        panels = [Panel("", "epoch", "loss", empty=reason)]
    return Figure(
        "training",
        "Training",
        panels,
        ["Bands: 95% interval of the mean over seeds, by Student's t; none over splits.", *_left_out(hidden)],
    )


def fig3a(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (a): R1 and mAP against 1/sigma, with coherence (+afa) or motion (+afa-motion) as the distilled part."""
    return _sweep("fig3a", "sigma", runs, dataset, protocol)


def fig3b(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (b): R1 and mAP against lambda, the weight of the coherence constraint."""
    return _sweep("fig3b", "lambda", runs, dataset, protocol)


@dataclass(frozen=True)
class _Sweep:
    """A setting on the x axis.

    Attributes:
        axis: the label of the axis.
        methods: the parts of a method's name that have the setting.
        value: the position on the axis for a value of the setting.
        zero: the tick label of the value that a logarithmic axis cannot show.
    """

    axis: str
    methods: tuple[str, ...]
    value: Callable[[float], float]
    zero: str


SWEEPS = {
    "sigma": _Sweep("1/σ, less noise to the right", ("afa", "afa-motion"), lambda s: 1 / s if s else math.inf, "σ = 0"),
    "lambda": _Sweep("λ", ("afa",), float, "0"),
}


def _sweep(name: str, setting: str, runs: Sequence[FinishedRun], dataset: str | None, protocol: str | None) -> Figure:
    sweep = SWEEPS[setting]
    candidates = [run for run in runs if _has_setting(run, setting, sweep)]
    dataset = dataset or _most_swept(candidates, setting)
    groups: dict[tuple[str, ...], dict[float, list[FinishedRun]]] = {}
    for run in candidates:
        experiment = run.experiment
        if experiment.dataset == dataset:
            rest = {key: value for key, value in experiment.settings.items() if key != setting}
            key = (experiment.method, _sweep_label(run, setting), json.dumps(rest, sort_keys=True) + experiment.data)
            groups.setdefault(key, {}).setdefault(sweep.value(experiment.settings[setting]), []).append(run)
    swept = {key: points for key, points in sorted(groups.items()) if len(points) > 1}
    alone = len(groups) - len(swept) if swept else 0
    lines = list((swept or groups).items())
    shown, hidden = lines[:MOST_LINES], len(lines[MOST_LINES:])
    positions, ticks = _positions({value for _, points in shown for value in points}, sweep.zero)
    methods = " or ".join(f"BASELINE+{method}" for method in sweep.methods)
    panels = []
    for metric in ("R1", "mAP"):
        made = []
        for (_, label, _), points in shown:
            values = sorted(points, key=positions.__getitem__)
            intervals = [_metric_interval(points[value], metric, protocol) for value in values]
            made.append(_line(label, [positions[value] for value in values], intervals))
        empty = "" if made else f"no finished run of {methods}{f' on {dataset}' if dataset else ''}"
        panels.append(Panel(metric, sweep.axis, f"{metric}, %", made, ticks, empty))
    drawn = [found for _, points in shown for found in points.values()]
    notes = data_notes(run.record for found in drawn for run in found)
    if drawn:
        counts = ", ".join(map(str, sorted({len(found) for found in drawn})))
        protocol = protocol or drawn[0][0].record.first_protocol
        notes.append(f"Bars: {LEVEL}; {repetition(drawn[0])[0]}s per point: {counts}; protocol {protocol}.")
    if alone:
        notes.append(f"Groups left out because they have only one value of {setting}: {alone}.")
    title = f"Fig. 3 ({name[-1]}) on {dataset}" if dataset else f"Fig. 3 ({name[-1]})"
    return Figure(name, title, panels, [*notes, *_left_out(hidden)])


def _has_setting(run: FinishedRun, setting: str, sweep: _Sweep) -> bool:
    experiment = run.experiment
    if experiment.external or not {setting, "target"} <= experiment.settings.keys():
        return False
    return split_method(experiment.method)[1] in sweep.methods and experiment.dataset == experiment.test


def _most_swept(runs: Iterable[FinishedRun], setting: str) -> str | None:
    """The data set with the most values of the setting."""
    values: dict[str, set[float]] = {}
    for run in runs:
        values.setdefault(run.experiment.dataset, set()).add(run.experiment.settings[setting])
    return min(values, key=lambda name: (-len(values[name]), name), default=None)


def _sweep_label(run: FinishedRun, setting: str) -> str:
    """The method, the part that it distils, and what else it changes from the recipe."""
    experiment = run.experiment
    changed = changed_from_recipe(experiment.recipe, experiment.method, experiment.settings) or {}
    others = [f"{key}={value}" for key, value in sorted(changed.items()) if key != setting]
    part = f"{experiment.settings['target']} distilled"
    return f"{experiment.method}: {', '.join([part, *others])}"


def _positions(values: set[float], zero: str) -> tuple[dict[float, float], list[tuple[float, str]]]:
    """Positions on a logarithmic axis with room for 0, one step left of the others, or infinity, one step right; and ticks."""
    inside = sorted(value for value in values if 0 < value < math.inf)
    positions = {value: math.log10(value) for value in inside}
    low, high = (positions[inside[0]], positions[inside[-1]]) if inside else (0.0, 0.0)
    positions |= {value: (low - 0.5 if value == 0 else high + 0.5) for value in values if value not in positions}
    names = {value: f"{value:g}" if value in inside else zero for value in values}
    return positions, [(positions[value], names[value]) for value in sorted(values)]


def _metric_interval(runs: Sequence[FinishedRun], metric: str, protocol: str | None) -> statistics.Interval | None:
    values, pids = fraction_matrix(runs, metric, protocol)
    return _interval(values, pids, runs) if values.size else None


def _interval(values: np.ndarray, pids: np.ndarray, runs: Sequence[FinishedRun]) -> statistics.Interval | None:
    """The mean and its interval; an unknown one where all queries show one person, None where no query has a match."""
    matched = ~np.isnan(values).all(axis=1)
    if not matched.any():
        return None
    if repetition(runs)[0] == "split":
        known = [run for run, has in zip(runs, matched, strict=True) if has]
        over = statistics.over_splits(split_means(np.nanmean(values[matched], axis=1), known), TEST_TO_TRAIN)
        return replace(over, low=max(over.low, 0.0), high=min(over.high, 1.0))
    question: statistics.Question = "methods" if len(values) > 1 else "checkpoints"
    try:
        return statistics.mean(values, pids, question)
    except ValueError:
        mean = float(np.nanmean(np.nanmean(values, axis=1)))
        return statistics.Interval(mean, math.nan, math.nan, question, ())


def _line(label: str, x: Sequence[float], points: Sequence[statistics.Interval | None]) -> Line:
    known = [(position, point) for position, point in zip(x, points, strict=True) if point is not None]
    parts = [[100 * part for part in (point.estimate, point.low, point.high)] for _, point in known]
    y, low, high = ([part[i] for part in parts] for i in range(3))
    return Line(label, [position for position, _ in known], y, low, high)


def _groups(runs: Sequence[FinishedRun], protocol: str | None) -> list[tuple[str, list[tuple[str, list[FinishedRun]]]]]:
    """The runs by the rows of the tables: (data set, [(label, the seeds and splits of one method)])."""
    by_name = {run.name: run for run in runs}
    made = tables([run.record for run in runs], protocol, None)
    return [
        (each.title, [(row.label, [by_name[record.name] for record in row.runs]) for row in each.rows]) for each in made
    ]


def _left_out(count: int) -> list[str]:
    return [f"{count} more lines are not drawn, to keep the panels readable; name fewer runs."] if count else []

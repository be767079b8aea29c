"""What a figure shows, as numbers: lines, bands and words from finished runs. `drawing` puts it on paper.

Nothing here knows matplotlib, and nothing in `drawing` knows a run.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.runs.finished import TEST_TO_TRAIN, Found, by_split, first_protocol, fractions, matrix, varied

from . import statistics
from .table import tables

RANKS = 20  # of a CMC curve
MOST = 7  # lines in a panel that can still be told apart
NOT_A_TERM = {"epoch", "iteration", "lr", "means_of"}
LEVEL = "95% interval; of one run for other people and the same weights, of several for other seeds or splits too"


@dataclass(frozen=True)
class Line:
    """A curve and its band; low and high are NaN where nothing can be said."""

    label: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Panel:
    """A pair of axes. ticks: (place, text) where x has places of its own; empty: why there is nothing to see."""

    title: str
    x: str
    y: str
    lines: list[Line] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)
    empty: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure: a file's name, a title, panels side by side, and what a reader must know below them."""

    name: str
    title: str
    panels: list[Panel]
    notes: list[str]


def cmc(runs: Sequence[Found], protocol: str | None = None) -> Figure:
    """Share of the queries with a hit among the first k, k to 20: a panel a data set, a line a method over its seeds."""
    panels, notes, hidden = [], [], 0
    for title, groups in _groups(runs, protocol):
        lines = [line for label, found in groups if (line := _cmc_line(label, found, protocol))]
        lines.sort(key=lambda line: -line.y[0])
        hidden += len(lines[MOST:])
        empty = "" if lines else "no results a query in these runs"
        panels.append(Panel(title, "rank k", "queries matched by rank k, %", lines[:MOST], empty=empty))
        notes.append(f"{title}: protocol {protocol or first_protocol(groups[0][1][0].record)}")
    panels = panels or [Panel("", "rank k", "queries matched by rank k, %", empty="no finished runs")]
    return Figure("cmc", "Cumulative match", panels, [*notes, f"Bands: {LEVEL}.", *_left_out(hidden)])


def _cmc_line(label: str, runs: Sequence[Found], protocol: str | None) -> Line | None:
    first, pids = matrix(runs, "first_hit_rank", protocol)
    if not first.size:
        return None
    ranks = range(1, RANKS + 1)
    points = [_interval(np.where(np.isnan(first), np.nan, first <= k), pids, runs) for k in ranks]
    return _line(label, list(ranks), points)


def training(runs: Sequence[Found]) -> Figure:
    """The loss terms by epoch, a panel a term; the mean over seeds with its interval."""
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
                if len(seeds) > 1 and varied(found)[0] == "seed"
                else np.full(len(epochs), np.nan)
            )
            mean = seeds.mean(0)
            parts = (part.tolist() for part in (mean, mean - half, mean + half))
            lines.setdefault(term, []).append(Line(label, epochs, *parts))
    hidden = max((len(of_term[MOST:]) for of_term in lines.values()), default=0)
    panels = [
        Panel(term.replace("_", " "), "epoch", "mean over the epoch", of_term[:MOST]) for term, of_term in lines.items()
    ]
    if not panels:
        why = "no curves: a file of exported records has none, nor has a run of 0 epochs or of someone else's features"
        panels = [Panel("", "epoch", "loss", empty=why)]
    return Figure(
        "training",
        "Training",
        panels,
        ["Bands: 95% interval of the mean over seeds, by Student's t; none over splits.", *_left_out(hidden)],
    )


def fig3a(runs: Sequence[Found], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (a): R1 and mAP against 1/sigma, coherence (+afa) and motion (+afa-motion) as the part that is distilled."""
    return _sweep("fig3a", "sigma", runs, dataset, protocol)


def fig3b(runs: Sequence[Found], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (b): R1 and mAP against lambda, the weight of the coherence constraint."""
    return _sweep("fig3b", "lambda", runs, dataset, protocol)


@dataclass(frozen=True)
class _Sweep:
    """A setting against which figures stand: the label of the axis, the methods, and a value's place and name on it."""

    axis: str
    methods: tuple[str, ...]
    value: Callable[[float], float]
    zero: str


SWEEPS = {
    "sigma": _Sweep("1/σ, less noise to the right", ("afa", "afa-motion"), lambda s: 1 / s if s else math.inf, "σ = 0"),
    "lambda": _Sweep("λ", ("afa",), float, "0"),
}


def _sweep(name: str, setting: str, runs: Sequence[Found], dataset: str | None, protocol: str | None) -> Figure:
    sweep = SWEEPS[setting]
    able = [run for run in runs if _method(run)[1] in sweep.methods and not _crossed(run)]
    dataset = dataset or _most_swept(able, setting)
    groups: dict[tuple[str, ...], dict[float, list[Found]]] = {}
    for run in able:
        experiment = run.record["experiment"]
        if experiment["dataset"] == dataset:
            rest = {key: value for key, value in experiment["settings"].items() if key != setting}
            key = (
                experiment["method"],
                _sweep_label(run, setting),
                json.dumps(rest, sort_keys=True) + experiment["data"],
            )
            value = sweep.value(experiment["settings"][setting])
            groups.setdefault(key, {}).setdefault(value, []).append(run)
    swept = {key: points for key, points in sorted(groups.items()) if len(points) > 1}
    alone = len(groups) - len(swept) if swept else 0
    shown = list((swept or groups).items())
    places, ticks = _places({value for _, points in shown[:MOST] for value in points}, sweep.zero)
    methods = " or ".join(f"BASELINE+{method}" for method in sweep.methods)
    panels = []
    for metric in ("R1", "mAP"):
        lines = []
        for (_, label, _), points in shown[:MOST]:
            values = sorted(points, key=places.__getitem__)
            intervals = [_figure(points[value], metric, protocol) for value in values]
            lines.append(_line(label, [places[value] for value in values], intervals))
        empty = "" if lines else f"no finished run of {methods}{f' on {dataset}' if dataset else ''}"
        panels.append(Panel(metric, sweep.axis, f"{metric}, %", lines, ticks, empty))
    drawn = [found for _, points in shown[:MOST] for found in points.values()]
    notes = []
    if drawn:
        counts = ", ".join(map(str, sorted({len(found) for found in drawn})))
        protocol = protocol or first_protocol(drawn[0][0].record)
        notes.append(f"Bars: {LEVEL}; {varied(drawn[0])[0]}s a point: {counts}; protocol {protocol}.")
    notes += (
        [f"Left out, because only one value of {setting} was tried with their other settings: {alone}."]
        if alone
        else []
    )
    title = f"Fig. 3 ({name[-1]}) on {dataset}" if dataset else f"Fig. 3 ({name[-1]})"
    return Figure(name, title, panels, [*notes, *_left_out(len(shown[MOST:]))])


def _method(run: Found) -> tuple[str, str]:
    experiment = run.record["experiment"]
    return split_method(experiment["method"]) if "sigma" in experiment["settings"] else ("", "")


def _crossed(run: Found) -> bool:
    return bool(run.record["experiment"]["dataset"] != run.record["experiment"]["test"])


def _most_swept(runs: Iterable[Found], setting: str) -> str | None:
    """The data set on which most values of the setting were tried."""
    values: dict[str, set[float]] = {}
    for run in runs:
        experiment = run.record["experiment"]
        values.setdefault(experiment["dataset"], set()).add(experiment["settings"][setting])
    return min(values, key=lambda name: (-len(values[name]), name), default=None)


def _sweep_label(run: Found, setting: str) -> str:
    """The method, the part that it distils, and what departs from the recipe beside the setting that is swept."""
    experiment = run.record["experiment"]
    changed = changed_from_recipe(experiment["recipe"], experiment["method"], experiment["settings"]) or {}
    others = [f"{key}={value}" for key, value in sorted(changed.items()) if key != setting]
    part = f"{experiment['settings']['target']} distilled"
    return f"{experiment['method']}: {', '.join([part, *others])}"


def _places(values: set[float], zero: str) -> tuple[dict[float, float], list[tuple[float, str]]]:
    """Where values stand on a logarithmic axis that has room for 0, one step left of it, or infinity, one step right."""
    inside = sorted(value for value in values if 0 < value < math.inf)
    places = {value: math.log10(value) for value in inside}
    low, high = (places[inside[0]], places[inside[-1]]) if inside else (0.0, 0.0)
    places |= {value: (low - 0.5 if value == 0 else high + 0.5) for value in values if value not in places}
    names = {value: f"{value:g}" if value in inside else zero for value in values}
    return places, [(places[value], names[value]) for value in sorted(values)]


def _figure(runs: Sequence[Found], metric: str, protocol: str | None) -> statistics.Interval | None:
    values, pids = fractions(runs, metric, protocol)
    return _interval(values, pids, runs) if values.size else None


def _interval(values: np.ndarray, pids: np.ndarray, runs: Sequence[Found]) -> statistics.Interval | None:
    """The mean and its interval; without one where no two people were asked for, None where no query has a match."""
    matched = ~np.isnan(values).all(axis=1)
    if not matched.any():
        return None
    if varied(runs)[0] == "split":
        known = [run for run, has in zip(runs, matched, strict=True) if has]
        over = statistics.over_splits(by_split(np.nanmean(values[matched], axis=1), known), TEST_TO_TRAIN)
        return replace(over, low=max(over.low, 0.0), high=min(over.high, 1.0))
    question: statistics.Question = "methods" if len(values) > 1 else "checkpoints"
    try:
        return statistics.mean(values, pids, question)
    except ValueError:
        mean = float(np.nanmean(np.nanmean(values, axis=1)))
        return statistics.Interval(mean, math.nan, math.nan, question, ())


def _line(label: str, x: Sequence[float], points: Sequence[statistics.Interval | None]) -> Line:
    known = [(place, point) for place, point in zip(x, points, strict=True) if point is not None]
    parts = [[100 * part for part in (point.estimate, point.low, point.high)] for _, point in known]
    y, low, high = ([part[i] for part in parts] for i in range(3))
    return Line(label, [place for place, _ in known], y, low, high)


def _groups(runs: Sequence[Found], protocol: str | None) -> list[tuple[str, list[tuple[str, list[Found]]]]]:
    """The runs as the tables have them: (data set, [(label, the seeds and splits of one method)])."""
    by_name = {run.name: run for run in runs}
    made = tables([run.record for run in runs], protocol, None)
    return [(each.title, [(row.label, [by_name[r["name"]] for r in row.runs]) for row in each.rows]) for each in made]


def _left_out(count: int) -> list[str]:
    return (
        [f"{count} more lines are not drawn, so that the others can be told apart: name fewer runs."] if count else []
    )

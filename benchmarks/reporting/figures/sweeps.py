"""The effect of a setting of AFA, as paired differences from runs without it: fig3a, fig3b and distill.

Error bars of absolute results would hide every effect, because people and seeds vary more than methods do. A difference on the
same seeds and queries is free of both.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from benchmarks.experiments.methods import ATTACHED, baseline, split_method
from benchmarks.experiments.settings import SEARCHED
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import METRIC

from .figure import LEVEL, MOST_LINES, Figure, Line, Panel, line, lines_left_out
from .series import Series, choose, counted, difference, in_common, left_out, negligible, notes_on_data, of_tested

GRANULARITIES = ("clip", "frame", "batch")
ONE_METHOD = (
    "With one factor for each batch, distilling the motion with delta is distilling the coherence with 1 / delta. So the two "
    "curves differ only by the distributions of delta and 1 / delta, which part where sigma is large."
)


@dataclass(frozen=True)
class Sweep:
    """A setting on a logarithmic x axis.

    Attributes:
        setting: its name; 0 is the reference.
        axis: the label of the axis.
        attachments: the parts of a method's name that have the setting.
        position: where a value of the setting is on the axis.
        absence: the reference, in words.
    """

    setting: str
    axis: str
    attachments: tuple[str, ...]
    position: Callable[[float], float]
    absence: str


INVERSE_SIGMA = Sweep("sigma", "1/σ, less noise to the right", ("afa", "afa-motion"), lambda s: 1 / s, "no noise")
SIGMA = Sweep("sigma", "σ, more noise to the right", ("afa", "afa-motion"), float, "no noise")
LAMBDA = Sweep("lambda", "λ", ("afa",), float, "no constraint")


class Point(NamedTuple):
    """A method at one value of the setting."""

    method: str
    granularity: str
    value: float


def fig3a(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (a): what noise of 1/sigma changes, with coherence (+afa) or motion (+afa-motion) as the distilled part."""
    return _paper_figure("fig3a", INVERSE_SIGMA, runs, dataset, protocol)


def fig3b(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Fig. 3 (b): what the coherence constraint of weight lambda changes."""
    return _paper_figure("fig3b", LAMBDA, runs, dataset, protocol)


def distill(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """What noise changes with coherence or motion as the distilled part: a panel for each granularity of the noise."""
    series, others = _series(SIGMA, runs, dataset, ("granularity",))
    panels: list[Panel] = []
    hidden = 0
    for granularity in GRANULARITIES:
        here = {point: found for point, found in series.items() if granularity == point.granularity or not point.value}
        panel, more = _panel(SIGMA, here, METRIC, _title(granularity), protocol)
        panels.append(panel)
        hidden += more
    panels = [panel for panel in panels if panel.lines] or panels[:1]
    figure = _figure(
        "distill", "Coherence or motion as the distilled part", SIGMA, panels, series, others, hidden, protocol
    )
    return (
        replace(figure, notes=[*figure.notes, ONE_METHOD]) if _title("batch") in [p.title for p in panels] else figure
    )


def _title(granularity: str) -> str:
    return f"one factor for each {granularity}"


def _paper_figure(
    name: str, sweep: Sweep, runs: Sequence[FinishedRun], dataset: str | None, protocol: str | None
) -> Figure:
    series, others = _series(sweep, runs, dataset)
    made = [_panel(sweep, series, metric, metric, protocol) for metric in ("R1", METRIC)]
    panels = [panel for panel, _ in made]
    return _figure(name, f"Fig. 3 ({name[-1]})", sweep, panels, series, others, made[0][1], protocol)


def _series(
    sweep: Sweep, runs: Sequence[FinishedRun], dataset: str | None, varied: tuple[str, ...] = ()
) -> tuple[Series[Point], int]:
    """The runs of one context, by method and value; `varied`: further settings that differ."""

    def point(run: FinishedRun) -> Point | None:
        method, settings = run.experiment.method, run.experiment.settings
        if sweep.setting not in settings or split_method(method)[1] not in sweep.attachments:
            return None
        return Point(method, settings["granularity"] if "granularity" in varied else "", settings[sweep.setting])

    ours = [run for run in of_tested(runs, dataset) if not run.experiment.external]
    return choose(ours, point, {sweep.setting, *varied}, covered=_compared, fixed={*ATTACHED, *SEARCHED} - {"target"})


def _compared(points: Collection[Point]) -> int:
    """How many points have a reference beside them."""
    references = {baseline(each.method) for each in points if not each.value}
    return sum(baseline(each.method) in references for each in points if each.value)


def _panel(sweep: Sweep, here: Series[Point], metric: str, title: str, protocol: str | None) -> tuple[Panel, int]:
    """A line for each method, and how many lines are left out."""
    lines: list[Line] = []
    for method in sorted({point.method for point in here}):
        values = [point for point in here if point.method == method and point.value]
        values.sort(key=lambda point: sweep.position(point.value))
        reference = _reference(method, here)
        if reference and values:
            positions = [math.log10(sweep.position(point.value)) for point in values]
            made = [difference(here[point], reference, metric, protocol) for point in values]
            found = line(_label(method, here[values[0]]), positions, made)
            lines += [found] if found.x else []
    ticks = {
        math.log10(position): f"{position:g}"
        for position in {sweep.position(each.value) for each in here if each.value}
    }
    empty = "" if lines else f"no finished runs with and without it: {sweep.setting} 0 and other values"
    y = f"{metric}, points above {sweep.absence}"
    shown = sorted((x, text) for x, text in ticks.items() if any(x in each.x for each in lines))
    margin = negligible() if metric == METRIC else None
    panel = Panel(title, sweep.axis, y, lines[:MOST_LINES], shown, empty, "points", margin)
    return panel, len(lines[MOST_LINES:])


def _reference(method: str, series: Series[Point]) -> list[FinishedRun]:
    """The runs of a method without the setting, or those of +afa: without noise, all granularities and targets are one method."""
    for name in (method, f"{baseline(method)}+afa"):
        if found := [runs for point, runs in series.items() if point.method == name and not point.value]:
            return max(found, key=len)
    return []


def _label(method: str, runs: Sequence[FinishedRun]) -> str:
    return f"{method}: {runs[0].experiment.settings['target']} distilled"


def _figure(
    name: str,
    title: str,
    sweep: Sweep,
    panels: list[Panel],
    series: Series[Point],
    others: int,
    hidden: int,
    protocol: str | None,
) -> Figure:
    notes = []
    if any(panel.lines for panel in panels):
        shown = list(series.values())
        where = shown[0][0].experiment.test
        title = f"{title}, on {where}"
        compared = [
            in_common([found, _reference(point.method, series)])[0] for point, found in series.items() if point.value
        ]
        seeds = counted(list(filter(None, compared)), protocol)
        notes = [f"Differences from {sweep.absence} on the same seeds and queries. Bars: {LEVEL}; {seeds}."]
        alone = {point.method for point in series} - {each.label.partition(":")[0] for p in panels for each in p.lines}
        notes += [f"Left out because they have only one value of {sweep.setting}: {', '.join(sorted(alone))}."] * bool(
            alone
        )
        notes += notes_on_data(shown)
    return Figure(name, title, panels, [*notes, *left_out(others), *lines_left_out(hidden)])

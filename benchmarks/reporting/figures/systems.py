"""The published systems with and without AFA: what each reaches, what AFA changes, and how fast each is."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.reporting import statistics
from benchmarks.reporting.grid import signed, span
from benchmarks.reporting.meta_analysis import MetaAnalysis, random_effects
from benchmarks.reporting.pairing import complete
from benchmarks.reporting.query_results import fraction_matrix, repetition, seed_blocks
from benchmarks.reporting.statistics import Interval
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import METRIC, MIN_RUNS, Arm, Claim
from benchmarks.suites.published_systems import ALL, System

from .figure import LEVEL, Figure, Line, Panel, line
from .series import (
    Series,
    choose,
    counted,
    in_common,
    left_out,
    negligible,
    notes_on_data,
    of_tested,
    result,
    row_of,
    varied_by,
)

PLAIN, ATTACHED = "plain", "with AFA"
EACH, TOGETHER = "AFA's effect, its interval over other seeds", "all systems: random effects"
FURTHER = "where a further system would lie"


class Measured(NamedTuple):
    """A system on some people: its results without and with AFA, AFA's effect over other seeds, and its speed in frames/s."""

    system: System
    plain: Interval
    attached: Interval
    effect: Interval
    speeds: tuple[float, float]


def systems(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """Three panels: mAP with and without AFA for each system; what AFA changes in each and overall; mAP against frames/s."""
    title = "Published systems with and without AFA"
    rows = [row for system in ALL for row in system.rows]
    series, others = choose(of_tested(runs, dataset), row_of(rows), varied_by(rows))
    found = [each for system in ALL if (each := _measured(system, series, protocol)) is not None]
    if not found:
        empty = "no system has finished runs both without and with AFA: `bench suite run systems`"
        return Figure("systems", title, [Panel("", "", f"{METRIC}, %", empty=empty, form="rows")], left_out(others))
    shown = [series[row.label] for each in found for row in each.system.rows]
    repeats = min(repetition(each)[1] for each in shown)
    notes = [
        *summary([each.effect for each in found], repeats),
        f"Bars of the first panel: {LEVEL}; {counted(shown, protocol)}.",
        *notes_on_data(shown),
        *left_out(others),
    ]
    panels = [_results(found), _effects(found, repeats), *_speeds(found)]
    return Figure("systems", f"{title}, on {shown[0][0].experiment.test}", panels, notes)


def _measured(system: System, series: Series[str], protocol: str | None) -> Measured | None:
    """None where one of the two has not run, or they have no seeds and queries in common."""
    labels = [row.label for row in system.rows]
    if not set(labels) <= series.keys():
        return None
    plain, attached = (series[label] for label in labels)
    reached = [result(each, METRIC, protocol) for each in (plain, attached)]
    effect = effect_over_seeds(plain, attached, protocol)
    if effect is None or reached[0] is None or reached[1] is None:
        return None
    return Measured(system, reached[0], reached[1], effect, (_speed(plain), _speed(attached)))


def effect_over_seeds(
    plain: Sequence[FinishedRun], attached: Sequence[FinishedRun], protocol: str | None
) -> Interval | None:
    """`attached` less `plain` on the same seeds and splits, over other seeds on these people; None without such runs."""
    ours, theirs = in_common([attached, plain])
    tables = [fraction_matrix(each, METRIC, protocol)[0] for each in (ours, theirs)]
    if not tables[0].size or tables[0].shape != tables[1].shape:
        return None
    repetitions = [(run.experiment.split, run.experiment.seed) for run in ours]
    kept = [repetitions.index(each) for each in complete(set(repetitions))]
    arms = tuple(Arm(sign, runs[0].experiment.method) for sign, runs in ((1, ours), (-1, theirs)))
    claim = Claim("AFA helps", "systems", arms)
    chosen = [[runs[number] for number in kept] for runs in (ours, theirs)]
    return statistics.over_seeds(seed_blocks(claim, chosen, [table[kept] for table in tables]))


def summary(effects: Sequence[Interval], repeats: int) -> list[str]:
    """What AFA does over all systems, in words; or why that cannot be said."""
    together = combined(effects, repeats)
    helped, hurt = (sum(sign * each.estimate > 0 for each in effects) for sign in (1, -1))
    above, below = sum(each.low > 0 for each in effects), sum(each.high < 0 for each in effects)
    count = f"With AFA, {helped} of {len(effects)} systems have a higher {METRIC}"
    if helped + hurt > 1:  # a test that no single system decides, however large its effect
        count += f" (sign test: p = {stats.binomtest(helped, helped + hurt).pvalue:.2g})"
    if together is None:
        return [f"{count}. No effect over all: that takes two systems whose effects differ."]
    inner = span(together.low, together.high)
    further = ""
    if math.isfinite(together.next_low):
        further = f"; a further system: {span(together.next_low, together.next_high)}"
    over = f"{signed(100 * together.effect)} points ({inner}), p = {together.p:.2g}"
    if math.isnan(together.q):
        return [
            f"{count}. Over the {together.systems} systems: {over}; a deviation of {100 * together.tau:.1f} over systems and "
            f"seeds (fewer than {MIN_RUNS} seeds or splits of each cannot separate the two){further}.",
            "Exploratory: not fixed beforehand. Student's interval over other systems and other seeds, on these people, whom all "
            "systems share.",
        ]
    return [
        f"{count}; intervals above 0: {above}, below 0: {below}. Over the {together.systems} systems whose errors are known: "
        f"{over}; a deviation of {100 * together.tau:.1f} between systems{further}.",
        "Exploratory: not fixed beforehand. A random-effects meta-analysis (DerSimonian and Laird; Hartung and Knapp) over other "
        "systems and other seeds, on these people, whom all systems share.",
    ]


def combined(effects: Iterable[Interval], repeats: int) -> MetaAnalysis | None:
    """The meta-analysis of the effects with known errors, or of all if each has too few runs; None for fewer than two."""
    if repeats < MIN_RUNS:
        estimates = [each.estimate for each in effects]
        return random_effects(estimates) if len(set(estimates)) > 1 else None
    known = [each for each in effects if each.errors and 0 < each.errors[0][0] < math.inf]
    if len(known) < 2:
        return None
    return random_effects([each.estimate for each in known], [each.errors[0][0] for each in known])


def _speed(runs: Sequence[FinishedRun]) -> float:
    """Frames/s at test, the mean over the runs; NaN where it was not measured."""
    speeds = [run.record.phases["extract"].per_second for run in runs if "extract" in run.record.phases]
    return float(np.mean(speeds)) if speeds else math.nan


def _names(found: Sequence[Measured]) -> list[tuple[float, str]]:
    return [(float(place), each.system.name) for place, each in enumerate(found)]


def _results(found: Sequence[Measured]) -> Panel:
    places = [place for place, _ in _names(found)]
    lines = [
        line(PLAIN, places, [each.plain for each in found]),
        line(ATTACHED, places, [each.attached for each in found]),
    ]
    return Panel("", "system", f"{METRIC}, %", lines, _names(found), form="rows")


def _effects(found: Sequence[Measured], repeats: int) -> Panel:
    ticks = _names(found)
    lines = [line(EACH, [place for place, _ in ticks], [each.effect for each in found])]
    together = combined([each.effect for each in found], repeats)
    if together is not None:
        last = float(len(found))
        ticks.append((last, f"all {together.systems}"))
        y = 100 * together.effect
        lines.append(Line(TOGETHER, [last], [y], [100 * together.low], [100 * together.high]))
        if math.isfinite(together.next_low):
            ticks.append((last + 1, "a further one"))
            lines.append(Line(FURTHER, [last + 1], [y], [100 * together.next_low], [100 * together.next_high]))
    return Panel("", "system", f"{METRIC} by AFA, points", lines, ticks, form="rows", margin=negligible())


def _speeds(found: Sequence[Measured]) -> list[Panel]:
    known = [each for each in found if all(math.isfinite(speed) for speed in each.speeds)]
    if not known:
        return []
    lines = [
        line(PLAIN, [each.speeds[0] for each in known], [each.plain for each in known]),
        line(ATTACHED, [each.speeds[1] for each in known], [each.attached for each in known]),
    ]
    names = [(each.speeds[1], each.system.name) for each in known]
    return [Panel("", "frames/s at test", f"{METRIC}, %", lines, names, form="scatter")]

"""When motion wins: the methods of the suite `cues` against the share of people who differ only in gait."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baselines.interface.errors import UserError
from benchmarks.data import registered_name
from benchmarks.data.datasets.cues import SHARES, Cues
from benchmarks.data.find import find_dataset
from benchmarks.reporting.statistics import Interval
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites import hypothesis
from benchmarks.suites.claims import METRIC, MOTION

from .figure import LEVEL, Figure, Panel, line
from .series import Series, choose, counted, difference, left_out, notes_on_data, of_tested, result, row_of, varied_by

WORLDS = {False: "clean", True: "hard: passers-by, bad boxes, turns"}


class Place(NamedTuple):
    """A method in one of the worlds."""

    method: str
    share: int
    hard: bool


class Crossing(NamedTuple):
    """Where a difference that grows with the share crosses 0, in percent of people, and its interval.

    share: None where it does not cross 0 between the first share and the last.
    low, high: the shares between which the interval of the difference contains 0; None where it never does.
    """

    share: float | None
    low: float | None
    high: float | None


def cues(runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None) -> Figure:
    """mAP of each method against the share of people who differ only in gait, in a panel for clean and one for hard worlds."""
    title = "What tells people apart: a share by gait alone, the others by clothes alone"
    series, others = _series(of_tested(runs, dataset))
    methods = [row.method for row in hypothesis.Cues().rows("") if any(each.method == row.method for each in series)]
    panels, notes = [], []
    for hard, world in WORLDS.items():
        lines = []
        for method in methods:
            shares = [share for share in SHARES if Place(method, share, hard) in series]
            found = [result(series[Place(method, share, hard)], METRIC, protocol) for share in shares]
            lines += [line(method, [float(share) for share in shares], found)] if shares else []
        if lines:
            ticks = [(float(share), str(share)) for share in SHARES]
            panels.append(
                Panel(world, "share of people told apart by gait alone, %", f"{METRIC}, %", lines, ticks, form="points")
            )
            notes += [f"{_word(hard)}: {said}" for said in _crossings(series, hard, protocol)] + _gap_notes(
                series, hard
            )
    if not panels:
        empty = "no finished runs in the worlds of cues: `bench suite run cues`"
        return Figure("cues", title, [Panel("", "", f"{METRIC}, %", empty=empty)], left_out(others))
    notes += [
        "The shares are of people: each can be told apart by gait alone or by clothes alone. So the curve of mean, which sees "
        "no gait, falls with the share by construction.",
        f"Bars: {LEVEL}; {counted(list(series.values()), protocol)}."
        " The interval of a crossing holds the shares at which the 95% interval of the difference contains 0.",
    ]
    notes += notes_on_data(series.values())
    return Figure("cues", title, panels, [*notes, *left_out(others)])


def crossings(runs: Sequence[FinishedRun], protocol: str | None = None) -> list[str]:
    """A sentence for the clean worlds and one for the hard worlds: where motion at its best overtakes coherence.

    None without the runs.
    """
    series, _ = _series(of_tested(runs, None))
    return [
        f"In the {_word(hard)} worlds of cues, {said}"
        for hard in WORLDS
        for said in _crossings(series, hard, protocol)[:1]
    ]


def _word(hard: bool) -> str:
    return "hard" if hard else "clean"


def _series(runs: Sequence[FinishedRun]) -> tuple[Series[Place], int]:
    """The runs of each place: one context for the clean worlds and one for the hard worlds, which have separate panels."""
    rows = hypothesis.Cues().rows("")
    method_of = row_of(rows)
    worlds = {name: _world(name) for name in {run.experiment.test for run in runs}}

    def place(run: FinishedRun) -> Place | None:
        world, method = worlds[run.experiment.test], method_of(run)
        return Place(method, world.share, world.hard) if world and method else None

    def same_world(run: FinishedRun) -> tuple[int, str, tuple[int, int] | None] | None:
        world = worlds[run.experiment.test]
        return (world.world, world.size, world.pixels) if world else None

    series: Series[Place] = {}
    others = 0
    for hard in WORLDS:
        here = [run for run in runs if (world := worlds[run.experiment.test]) and world.hard == hard]
        chosen, left = choose(here, place, varied_by(rows), same_world)
        series, others = series | chosen, others + left
    return series, others


def _world(name: str) -> Cues | None:
    try:
        found = find_dataset(name) if registered_name(name) == "cues" else None
    except UserError:  # of an earlier version
        return None
    return found if isinstance(found, Cues) else None


def _gap_notes(series: Series[Place], hard: bool) -> list[str]:
    """The shares at which nothing ran."""
    run = {place.share for place in series if place.hard == hard}
    missing = [f"{share}%" for share in SHARES if share not in run]
    return [f"{_word(hard)}: not run at {', '.join(missing)}."] if missing else []


def _crossings(series: Series[Place], hard: bool, protocol: str | None) -> list[str]:
    """Where each motion baseline that ran at every share overtakes mean: a sentence each, the best mean over the shares first."""
    differences: dict[str, dict[float, Interval]] = {}
    for baseline in MOTION:
        for share in SHARES:
            one, other = Place(baseline, share, hard), Place("mean", share, hard)
            if one in series and other in series:
                found = difference(series[one], series[other], METRIC, protocol)
                if found is not None:
                    differences.setdefault(baseline, {})[float(share)] = found
    complete = {name: found for name, found in differences.items() if len(found) == len(SHARES)}
    ranked = sorted(complete, key=lambda name: -sum(each.estimate for each in complete[name].values()))
    crossed = [(name, crossing(complete[name])) for name in ranked]
    return [
        *(crossing_in_words(*best, among=len(ranked)) for best in crossed[:1]),
        *(crossing_in_words(*other) for other in crossed[1:]),
    ]


def crossing(differences: Mapping[float, Interval]) -> Crossing:
    """Where the difference crosses 0, linear between shares, and where its interval contains 0.

    These are the shares at which a test of no difference would not reject. Between two shares the ends of the interval are
    interpolated, which can only make it too wide: the standard error of an average is at most the average of the errors.
    """
    shares = np.linspace(min(differences), max(differences), 1001)
    known = sorted(differences)
    middle, low, high = (
        np.interp(shares, known, [getattr(differences[share], part) for share in known])
        for part in ("estimate", "low", "high")
    )
    inside = shares[(low <= 0) & (high >= 0)]
    crosses = np.flatnonzero((middle[:-1] <= 0) & (middle[1:] > 0))
    share = float(shares[crosses[0]]) if len(crosses) and middle[0] <= 0 else None
    ends = (float(inside[0]), float(inside[-1])) if len(inside) else (None, None)
    return Crossing(share, *ends)


def crossing_in_words(baseline: str, found: Crossing, among: int = 1) -> str:
    """`cnn3d overtakes mean where 42% of the people (35 to 50) can be told apart by gait alone`, or that it does not.

    among: the number of motion baselines of which it is the best.
    """
    best = f", the best of {among} motion baselines that ran at every share," if among > 1 else ""
    undecided = f"{found.low:.0f} to {found.high:.0f}" if found.low is not None else ""
    if found.share is None:
        return f"{baseline}{best} and mean do not cross{f'; undecided from {undecided}%' if undecided else ''}."
    return (
        f"{baseline}{best} overtakes mean where {found.share:.0f}% of the people{f' ({undecided})' if undecided else ''} "
        "can be told apart by gait alone."
    )

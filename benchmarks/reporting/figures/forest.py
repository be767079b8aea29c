"""Claims as pictures, from their verdicts: all of them (forest), and each motion baseline against `mean` (families)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from benchmarks.reporting.statistics import Interval, Verdict
from benchmarks.reporting.verdict import CONTROLS, TUNING, JudgedClaim
from benchmarks.reporting.verdict_tables import TITLES
from benchmarks.suites.claims import FAMILIES, METRIC, MIN_RUNS, UNCORRECTED, points

from .figure import Figure, Line, Panel, in_words, line

DECIDED, UNDECIDED = "decided, with its 95% interval", "undecided or exploratory, with its 95% interval"
PAPER = "the paper's, on the same data"
HOLDS, FAILS = "its controls hold", "a control fails or was not run: says nothing about motion"


def measured(judged: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """The claims that have an effect, by family and data sets, in the order in which they were judged."""
    order = list(dict.fromkeys((each.claim.family, each.datasets) for each in judged))
    known = [each for each in judged if each.interval is not None]
    return sorted(known, key=lambda each: order.index((each.claim.family, each.datasets)))


def forest(judged: Sequence[JudgedClaim]) -> Figure:
    """A panel for each family, a row for each claim and pair of data sets with enough runs for an interval over seeds.

    Exploratory claims are drawn only if their effect is known to be above, below or near 0.
    """
    measured_enough = _drawn(judged)
    known = [
        each for each in measured_enough if not (each.claim.family in UNCORRECTED and each.verdict == Verdict.UNDECIDED)
    ]
    by_family = {family: [each for each in known if each.claim.family == family] for family in FAMILIES}
    panels = [_panel(family, here) for family, here in by_family.items() if here]
    notes = ["The grey band marks negligible effects. An effect to the right of 0 agrees with the claim."]
    few = len(measured(judged)) - len(measured_enough)
    absent = len(judged) - len(measured_enough) - few
    open_ = len(measured_enough) - len(known)
    if open_:
        notes.append(f"Not drawn, because exploratory and open: {open_} of {len(judged)} claims.")
    if few:
        notes.append(f"Not drawn, because fewer than {MIN_RUNS} seeds or splits ran: {few} of {len(judged)} claims.")
    if absent:
        notes.append(f"Not run: {absent} of {len(judged)} claims.")
    notes += _data_notes(known)
    empty = Panel("", f"effect, {points([])}", "", empty="no claim was measured", form="rows")
    return Figure("forest", "The verdict", panels or [empty], notes)


def families(judged: Sequence[JudgedClaim]) -> Figure:
    """mAP of each motion baseline less that of `mean`, a row for each on each data set, and whether its controls hold."""
    known = [each for each in _drawn(judged) if each.claim.suite == "families"]
    title = "Motion baselines against mean"
    if not known:
        empty = f"no motion baseline ran {MIN_RUNS} times beside mean: `bench suite run families`"
        return Figure("families", title, [Panel("", "baseline", f"{METRIC}, points", empty=empty, form="rows")], [])
    names = [f"{_motion(each)} ({each.datasets.title})" for each in known]
    hold = [not any(reason.startswith(CONTROLS) for reason in each.reasons) for each in known]
    effects = [_negative(each.interval) for each in known if each.interval]
    panel = Panel(
        "",
        "baseline",
        f"{METRIC} above mean's, points",
        _in_two((HOLDS, FAILS), hold, effects),
        [(float(place), name) for place, name in enumerate(names)],
        form="rows",
        margin=100 * known[0].margin,
    )
    said = [
        (each.datasets.title, f"{_motion(each)} {in_words(effect)}")
        for each, effect in zip(known, effects, strict=True)
    ]
    notes = [f"{name}: {', '.join(word for _, word in here)}." for name, here in groupby(said, itemgetter(0))]
    runs = ", ".join(map(str, sorted({each.runs for each in known})))
    notes.append(
        "Differences on the same seeds, splits and queries. Bars: 95% interval, over other seeds or splits on these people; "
        f"runs of each side: {runs}. The grey band marks negligible differences."
    )
    doubts: dict[str, list[str]] = {}
    for each, name in zip(known, names, strict=True):
        for reason in each.reasons:
            if reason.startswith((CONTROLS, TUNING)):
                doubts.setdefault(reason, []).append(name)
    notes += [f"{', '.join(here)}: {reason}." for reason, here in doubts.items()]
    return Figure("families", title, [panel], [*notes, *_data_notes(known)])


def _motion(judged: JudgedClaim) -> str:
    """The baseline against which `mean` is claimed to win."""
    return next(arm.method for arm in judged.claim.arms if arm.weight < 0)


def _drawn(judged: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """The claims with an interval over other seeds. With too few runs it is over other people and would mislead."""
    return [each for each in measured(judged) if each.people is not None]


def _data_notes(judged: Sequence[JudgedClaim]) -> list[str]:
    """What must be said of the data, each once."""
    return list(dict.fromkeys(note for each in judged for note in each.notes))


def _panel(family: str, here: Sequence[JudgedClaim]) -> Panel:
    intervals = [each.interval for each in here if each.interval]
    decided = [each.verdict != Verdict.UNDECIDED and family not in UNCORRECTED for each in here]
    lines = _in_two((DECIDED, UNDECIDED), decided, intervals)
    papers = [(float(place), 100 * each.paper) for place, each in enumerate(here) if each.paper is not None]
    if papers:
        xs, ys = [list(part) for part in zip(*papers, strict=True)]
        unknown = [math.nan] * len(xs)
        lines.append(Line(PAPER, xs, ys, unknown, unknown))
    ticks = [(float(place), f"{each.claim.text} ({each.datasets.title})") for place, each in enumerate(here)]
    return Panel(
        TITLES[family],
        "claim",
        f"effect, {points(each.claim for each in here)}",
        lines,
        ticks,
        form="rows",
        margin=100 * max(each.margin for each in here),
    )


def _in_two(labels: tuple[str, str], first: Sequence[bool], intervals: Sequence[Interval]) -> list[Line]:
    """The intervals in their rows, as two lines: those for which `first` is true, and the others. A line can be empty."""
    made = []
    for label, wanted in zip(labels, (True, False), strict=True):
        places = [place for place, one in enumerate(first) if one == wanted]
        made.append(line(label, [float(place) for place in places], [intervals[place] for place in places]))
    return made


def _negative(interval: Interval) -> Interval:
    return replace(interval, estimate=-interval.estimate, low=-interval.high, high=-interval.low)

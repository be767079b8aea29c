"""The verdict as one picture: each claim's effect with its interval, the paper's effect and what is negligible."""

import math
from collections.abc import Sequence

from benchmarks.experiments.experiment import DatasetPair
from benchmarks.reporting.verdict import JudgedClaim
from benchmarks.suites.claims import points

from .figure import Figure, Line, Panel, line

MEASURED, PAPER = "measured, with its 95% interval", "the paper's, on the same data"


def measured(judged: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """The claims that have an effect, by family and data sets, in the order in which they were judged."""
    order = list(dict.fromkeys((each.claim.family, each.datasets) for each in judged))
    known = [each for each in judged if each.interval is not None]
    return sorted(known, key=lambda each: order.index((each.claim.family, each.datasets)))


def forest(judged: Sequence[JudgedClaim]) -> Figure:
    """A panel for each family and pair of data sets, a row for each claim that was measured."""
    known = measured(judged)
    groups: dict[tuple[str, DatasetPair], list[JudgedClaim]] = {}
    for each in known:
        groups.setdefault((each.claim.family, each.datasets), []).append(each)
    panels = [_panel(f"{pair.title}: {name}", here) for (name, pair), here in groups.items()]
    absent = len(judged) - len(known)
    notes = ["The grey band: effects that are negligible. To the right of 0 is what the claim says."]
    notes += [f"Not run: {absent} of {len(judged)} claims."] if absent else []
    empty = Panel("", f"effect, {points([])}", "", empty="no claim was measured", form="rows")
    return Figure("forest", "The verdict", panels or [empty], notes)


def _panel(title: str, here: Sequence[JudgedClaim]) -> Panel:
    places = [float(number) for number in range(len(here))]
    effects = line(MEASURED, places, [each.interval for each in here])
    papers = [(place, 100 * each.paper) for place, each in zip(places, here, strict=True) if each.paper is not None]
    lines = [effects]
    if papers:
        xs, ys = [list(part) for part in zip(*papers, strict=True)]
        unknown = [math.nan] * len(xs)
        lines.append(Line(PAPER, xs, ys, unknown, unknown))
    ticks = [(place, f"{each.claim.text}: {each.verdict_text}") for place, each in zip(places, here, strict=True)]
    return Panel(
        title,
        "claim",
        f"effect, {points(each.claim for each in here)}",
        lines,
        ticks,
        form="rows",
        margin=100 * max(each.margin for each in here),
    )

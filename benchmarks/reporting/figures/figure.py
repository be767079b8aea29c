"""The parts of a figure: panels of lines with their intervals, and notes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.reporting.grid import signed
from benchmarks.reporting.statistics import Interval

MOST_LINES = 7  # per panel; more cannot be told apart
LEVEL = "95% interval: for one run, over other people; for several, also over other seeds or splits"

# curves: with bands; points: with bars; steps: each from the height of the one before; rows: points beside their names; scatter:
# points without bars on a logarithmic scale; `ticks` has their names, in the order of the last line's points
Form = Literal["curves", "points", "steps", "rows", "scatter"]


@dataclass(frozen=True)
class Line:
    """Points and their intervals; low and high are NaN where the interval is unknown."""

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
        margin: of differences: those within ± this many points are negligible. None where y is not a difference.
    """

    title: str
    x: str
    y: str
    lines: list[Line] = field(default_factory=list)
    ticks: list[tuple[float, str]] = field(default_factory=list)
    empty: str = ""
    form: Form = "curves"
    margin: float | None = None


@dataclass(frozen=True)
class Figure:
    """A figure: the name of its file, a title, panels side by side, and notes below them."""

    name: str
    title: str
    panels: list[Panel]
    notes: list[str]


def line(label: str, x: Sequence[float], points: Sequence[Interval | None]) -> Line:
    """Fractions as percent; points that are None are left out."""
    known = [(position, point) for position, point in zip(x, points, strict=True) if point is not None]
    parts = [[100 * part for part in (point.estimate, point.low, point.high)] for _, point in known]
    y, low, high = ([part[i] for part in parts] for i in range(3))
    return Line(label, [position for position, _ in known], y, low, high)


def in_words(interval: Interval, form: Callable[[float], str] = signed) -> str:
    """`+1.2 (+0.4 to +2.0)`, in points; without its interval where that is unknown.

    form: writes a number; by default, a difference.
    """
    estimate, low, high = (form(100 * part) for part in (interval.estimate, interval.low, interval.high))
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return f"{estimate} ({low} to {high})" if known else estimate


def lines_left_out(count: int) -> list[str]:
    """A note on the lines beyond MOST_LINES."""
    return [f"{count} more lines are not drawn, to keep the panels readable; name fewer runs."] if count else []

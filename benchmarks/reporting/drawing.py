"""Draw a `figures.Figure` as PNG, PDF and SVG, with the same bytes every time.

The colours are Okabe and Ito's, which colour-blind readers can tell apart. Each line also has its own marker and dashes, for
black-and-white print.
"""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.atomic import atomic_file

from .figures.figure import Figure, Line, Panel
from .grid import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

SUFFIXES = ("png", "pdf", "svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BAND, GREY = "#ececec", "#8a8a8a"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1.5, 1, 1.5)), (0, (7, 2)), (0, (2, 1)), (0, (6, 1, 1, 1, 1, 1)))
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "svg.hashsalt": "afa-bench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
WIDTH, SINGLE_WIDTH, HEIGHT = 3.4, 4.6, 2.6  # inches, of a panel; the second of a figure's only panel
TALL = 3.4  # inches: of another panel below rows
ROW_HEIGHT, BESIDE = 0.18, 0.9  # inches: of a row of a panel of rows, and of its title and axis
COLUMNS = 2  # of panels; rows, which have long names, take the whole width
UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def save(figure: Figure, to: Path) -> list[Path]:
    """Write one file where `to` ends in .png, .pdf or .svg; otherwise all three into the folder `to`."""
    files = [to] if to.suffix[1:] in SUFFIXES else [to / f"{figure.name}.{suffix}" for suffix in SUFFIXES]
    from matplotlib import rc_context

    with rc_context(STYLE):  # type: ignore[arg-type]  # it wants its 300 keys as literals
        drawn = draw(figure)
        for file in files:
            kind = file.suffix[1:]
            with atomic_file(file) as half:
                drawn.savefig(half, format=kind, dpi=200, metadata=UNDATED[kind], facecolor="white")
    return files


def draw(figure: Figure) -> "Drawn":
    """The figure as matplotlib's; needs no display and leaves the state of pyplot alone."""
    from matplotlib.figure import Figure as Drawn

    in_rows = figure.panels[0].form == "rows"
    columns = 1 if in_rows else min(len(figure.panels), COLUMNS)
    rows = math.ceil(len(figure.panels) / columns)
    labels = list(dict.fromkeys(line.label for panel in figure.panels for line in panel.lines))
    wide = columns > 1 or in_rows
    words = _wrapped(figure.notes, 60 * COLUMNS if wide else 80)
    legend = ["\n".join(_wrapped([label], 50 * COLUMNS if wide else 60)) for label in labels]
    below = 0.17 * sum(1 + label.count("\n") for label in legend) + 0.15 * len(words) + 0.1
    heights = [HEIGHT] * rows
    if in_rows:
        heights = [
            BESIDE + ROW_HEIGHT * max(len(panel.ticks), 1) if panel.form == "rows" else TALL for panel in figure.panels
        ]
    drawn = Drawn(figsize=(WIDTH * COLUMNS if wide else SINGLE_WIDTH, sum(heights) + below + 0.25))
    height = drawn.get_figheight()
    grid = drawn.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for axes, panel in zip(grid.flat, figure.panels, strict=False):
        _draw_panel(axes, panel, labels)
    for axes in grid.flat[len(figure.panels) :]:
        axes.set_visible(False)
    _share_scales(figure.panels, list(grid.flat))
    drawn.suptitle(figure.title, x=0.02, y=1 - 0.05 / height, ha="left", va="top", fontsize=10, fontweight="bold")
    drawn.tight_layout(rect=(0, below / height, 1, 1 - 0.18 / height), pad=0.5, w_pad=1.5, h_pad=1.0)
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        if axes.get_visible()
    }
    if labels:
        corner = (0.01, (0.15 * len(words) + 0.04) / height)
        order = [handles[label] for label in labels]
        drawn.legend(
            order, legend, loc="lower left", bbox_to_anchor=corner, frameon=False, handlelength=4, labelspacing=0.3
        )
    drawn.text(0.02, 0.05 / height, "\n".join(words), fontsize=7, color="#444444", va="bottom")
    return drawn


def _draw_panel(axes: "Axes", panel: Panel, labels: list[str]) -> None:
    axes.set_title(panel.title, loc="left")
    across = panel.form == "rows"
    axes.set_xlabel(panel.y if across else "" if panel.form == "steps" else panel.x)
    axes.set_ylabel("" if across else panel.y)
    if panel.empty:
        axes.set_xticks([])
        axes.set_yticks([])
        words = "\n".join(_wrapped([panel.empty], 44))
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="#444444")
        return
    if panel.margin is not None:
        (axes.axvspan if across else axes.axhspan)(-panel.margin, panel.margin, color=BAND, linewidth=0)
        (axes.axvline if across else axes.axhline)(0, color="#666666", linewidth=0.8)
    for line in panel.lines:
        number = labels.index(line.label)
        shift = _shift(panel, number, len(labels)) if panel.form in ("points", "rows") else 0.0
        line = _with_gaps(line, panel) if panel.form == "points" else line
        DRAW[panel.form](axes, replace(line, x=[x + shift for x in line.x]), number)
    if across:
        axes.set_yticks([y for y, _ in panel.ticks], [text for _, text in panel.ticks])
        axes.set_ylim(max(y for y, _ in panel.ticks) + 0.6, -0.6)  # the first at the top
        axes.grid(visible=False, axis="y")
    elif panel.form == "scatter":
        axes.set_xscale("log")
        axes.margins(x=0.1)
        last = panel.lines[-1]
        for x, y, (_, name) in zip(last.x, last.y, panel.ticks, strict=True):
            axes.annotate(name, (x, y), (4, 3), textcoords="offset points", fontsize=7)
    elif panel.ticks:
        axes.set_xticks([x for x, _ in panel.ticks], [text for _, text in panel.ticks])
        axes.margins(x=0.06)
    else:
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.02)


def _share_scales(panels: list[Panel], places: "list[Axes]") -> None:
    """One scale for all panels of points with the same y."""
    for y in {panel.y for panel in panels if panel.form == "points"}:
        same = [axes for axes, panel in zip(places, panels, strict=False) if (panel.form, panel.y) == ("points", y)]
        limits = [axes.get_ylim() for axes in same]
        for axes in same:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _with_gaps(line: Line, panel: Panel) -> Line:
    """The line with NaN at the ticks that it has no point for: what was not measured is not joined."""
    points = {x: values for x, *values in zip(line.x, line.y, line.low, line.high, strict=True)}
    if not points:
        return line
    ticks = [x for x, _ in panel.ticks if min(points) < x < max(points)]
    places = sorted({*points, *ticks})
    y, low, high = zip(*(points.get(x, [math.nan] * 3) for x in places), strict=True)
    return Line(line.label, places, list(y), list(low), list(high))


def _draw_curve(axes: "Axes", line: Line, number: int) -> None:
    style = _style(number)
    axes.plot(line.x, line.y, label=line.label, markevery=max(1, len(line.x) // 8), **style)
    axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=0.1, linewidth=0)


def _draw_points(axes: "Axes", line: Line, number: int) -> None:
    """Bars instead of a band."""
    axes.errorbar(line.x, line.y, _bars(line), label=line.label, capsize=2, elinewidth=0.9, **_style(number))


def _shift(panel: Panel, number: int, lines: int) -> float:
    """How far a line's points are moved aside, so that bars do not cover each other."""
    places = [x for x, _ in panel.ticks]
    gap = min((right - left for left, right in pairwise(places)), default=1.0)
    return 0.08 * gap * (number - (lines - 1) / 2)


def _draw_steps(axes: "Axes", line: Line, number: int) -> None:
    """Each step from the height of the one before it, the first from 0; up and down in two colours."""
    before = [0.0, *line.y[:-1]]
    steps = [y - start for y, start in zip(line.y, before, strict=True)]
    colours = [GREY, *(COLOURS[number + (step < 0)] for step in steps[1:])]
    axes.bar(line.x, steps, 0.6, before, color=colours, label=line.label, zorder=2)
    axes.errorbar(line.x, line.y, _bars(line), fmt="none", ecolor="#000000", capsize=2, elinewidth=0.9)
    for x, y, start, high, step in zip(line.x, line.y, before, line.high, steps, strict=True):
        text = f"{step:.1f}" if x == line.x[0] else signed(step)
        top = max(part for part in (y, start, high) if math.isfinite(part))
        axes.annotate(text, (x, top), (0, 3), textcoords="offset points", ha="center", fontsize=7)
    axes.margins(y=0.12)


def _draw_row(axes: "Axes", line: Line, number: int) -> None:
    """Points and bars beside their names."""
    axes.errorbar(line.y, line.x, xerr=_bars(line), label=line.label, capsize=2, elinewidth=1.2, **_mark(number))


def _draw_scatter(axes: "Axes", line: Line, number: int) -> None:
    """Points without bars, not joined."""
    axes.plot(line.x, line.y, label=line.label, **_mark(number))


DRAW = {
    "curves": _draw_curve,
    "points": _draw_points,
    "steps": _draw_steps,
    "rows": _draw_row,
    "scatter": _draw_scatter,
}


def _bars(line: Line) -> list[list[float]]:
    """The lengths of a line's bars below and above its points."""
    below = [y - low for y, low in zip(line.y, line.low, strict=True)]
    return [below, [high - y for y, high in zip(line.y, line.high, strict=True)]]


def _style(number: int) -> dict[str, Any]:
    other = (number + number // 7) % 7  # an eighth line has the first one's colour, but another marker and other dashes
    return {"color": COLOURS[number % 7], "marker": MARKERS[other], "linestyle": DASHES[other]}


def _mark(number: int) -> dict[str, Any]:
    """Of points that are not joined; the marks of further lines are open."""
    return {**_style(number), "linestyle": "none", **({"markerfacecolor": "white"} if number else {})}


def _wrapped(notes: list[str], width: int) -> list[str]:
    from textwrap import wrap

    return [part for note in notes for part in wrap(note, width)]

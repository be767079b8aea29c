"""Draws a `figures.Figure` as PNG, PDF and SVG, with the same bytes every time.

The colours are Okabe and Ito's, which colour-blind readers can tell apart. Each line also has its own marker and dashes, for
black-and-white print.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.atomic import atomic_file

from .figures import Figure, Line, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

SUFFIXES = ("png", "pdf", "svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
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
COLUMNS = 2  # of panels
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

    columns = min(len(figure.panels), COLUMNS)
    rows = math.ceil(len(figure.panels) / columns)
    labels = list(dict.fromkeys(line.label for panel in figure.panels for line in panel.lines))
    words = _wrapped(figure.notes, 60 * columns if columns > 1 else 80)
    below = 0.17 * len(labels) + 0.15 * len(words) + 0.1
    drawn = Drawn(figsize=(WIDTH * columns if columns > 1 else SINGLE_WIDTH, HEIGHT * rows + below + 0.25))
    height = drawn.get_figheight()
    grid = drawn.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, figure.panels, strict=False):
        _draw_panel(axes, panel, labels)
    for axes in grid.flat[len(figure.panels) :]:
        axes.set_visible(False)
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
            order, labels, loc="lower left", bbox_to_anchor=corner, frameon=False, handlelength=4, labelspacing=0.3
        )
    drawn.text(0.02, 0.05 / height, "\n".join(words), fontsize=7, color="#444444", va="bottom")
    return drawn


def _draw_panel(axes: "Axes", panel: Panel, labels: list[str]) -> None:
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y)
    if panel.empty:
        axes.set_xticks([])
        axes.set_yticks([])
        words = "\n".join(_wrapped([panel.empty], 44))
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="#444444")
        return
    for line in panel.lines:
        number = labels.index(line.label)
        (_draw_points if panel.ticks else _draw_curve)(axes, line, number, len(labels))
    if panel.ticks:
        axes.set_xticks([x for x, _ in panel.ticks], [text for _, text in panel.ticks])
    else:
        axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.06 if panel.ticks else 0.02)


def _draw_curve(axes: "Axes", line: Line, number: int, lines: int) -> None:
    style = _style(number)
    axes.plot(line.x, line.y, label=line.label, markevery=max(1, len(line.x) // 8), **style)
    axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=0.15 if lines < 4 else 0.07, linewidth=0)


def _draw_points(axes: "Axes", line: Line, number: int, lines: int) -> None:
    """Bars instead of a band; each line is shifted a little, so that bars do not cover each other."""
    shift = 0.025 * (number - (lines - 1) / 2)
    shifted = [x + shift for x in line.x]
    bars = [
        [y - low for y, low in zip(line.y, line.low, strict=True)],
        [high - y for y, high in zip(line.y, line.high, strict=True)],
    ]
    axes.errorbar(shifted, line.y, bars, label=line.label, capsize=2, elinewidth=0.9, **_style(number))


def _style(number: int) -> dict[str, Any]:
    other = (number + number // 7) % 7  # an eighth line has the first one's colour, but another marker and other dashes
    return {"color": COLOURS[number % 7], "marker": MARKERS[other], "linestyle": DASHES[other]}


def _wrapped(notes: list[str], width: int) -> list[str]:
    from textwrap import wrap

    return [part for note in notes for part in wrap(note, width)]

"""A panel of `figures` as inline SVG: small enough for a thousand pages, in the page's colours, readable without them."""

import math

from benchmarks.reporting.figures.figure import Line, Panel

from .html import Markup, el

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 34


def chart(panel: Panel) -> Markup:
    """One panel with its title; its description gives the first and last value."""
    if not panel.lines:
        return el("p", panel.empty, class_="note")
    positions = [position for line in panel.lines for position in line.x]
    heights = [y for line in panel.lines for part in (line.y, line.low, line.high) for y in part if not math.isnan(y)]
    xs, ys = _scale(min(positions), max(positions)), _scale(min(heights), max(heights))
    across = _axis(xs, LEFT, WIDTH - RIGHT)
    up = _axis(ys, HEIGHT - BOTTOM, TOP)

    def x(value: float) -> str:
        return f"{across[0] + across[1] * value:.1f}"

    def y(value: float) -> str:
        return f"{up[0] + up[1] * value:.1f}"

    def path(points: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{x(position)} {y(value)}" for position, value in points)

    def band(line: Line) -> Markup | None:
        low, high = (
            [(p, v) for p, v in zip(line.x, part, strict=True) if not math.isnan(v)] for part in (line.low, line.high)
        )
        return el("path", d=f"{path(high)}{path(low[::-1]).replace('M', 'L', 1)}Z", class_="band") if low else None

    grid = [
        [
            el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(tick), y2=y(tick), class_="grid"),
            el("text", f"{tick:g}", x=LEFT - 6, y=y(tick), dy="0.32em", text_anchor="end"),
        ]
        for tick in _ticks(*ys)
    ]
    below = [el("text", f"{tick:g}", x=x(tick), y=HEIGHT - BOTTOM + 15, text_anchor="middle") for tick in _ticks(*xs)]
    middle = (LEFT + WIDTH - RIGHT) / 2
    name = el("text", panel.x, x=middle, y=HEIGHT - 3, text_anchor="middle", class_="axis")
    lines = [
        [band(line), el("path", d=path(list(zip(line.x, line.y, strict=True))), class_="curve")] for line in panel.lines
    ]
    first = panel.lines[0]
    description = (
        f"{panel.title or panel.y}: {first.y[0]:.3g} at {panel.x} {first.x[0]:g}, {first.y[-1]:.3g} at {first.x[-1]:g}"
    )
    picture = el("svg", grid, below, name, lines, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=description)
    return el("figure", el("figcaption", panel.title or panel.y), picture, class_="chart")


def _scale(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _axis(ends: tuple[float, float], first: float, last: float) -> tuple[float, float]:
    """Offset and slope from values to pixels."""
    slope = (last - first) / (ends[1] - ends[0])
    return first - slope * ends[0], slope


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, up to six of them."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]

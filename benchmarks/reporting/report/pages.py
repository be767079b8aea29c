"""The pages of the report: overview, tables, runs and figures."""

import re
from collections.abc import Sequence
from urllib.parse import quote

import pandas as pd

from benchmarks.reporting import figures
from benchmarks.reporting.drawing import SUFFIXES
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.table import cell
from benchmarks.reporting.verdict import EXPLORED, ON_DRAWN_DATA, JudgedClaim, grids
from benchmarks.runs.finished import FinishedRun

from .contents import Section, baseline
from .html import Markup, el, page
from .html_tables import MOST_ROWS, filters, table, table_section

MOST_LETTERS = 1_500_000  # on the page of all tables, to keep it below 2 MB
MOST_FIRST = 40  # rows per table on the overview
MARKS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "NEGLIGIBLE": "≈", "UNDECIDED": "?"}
VERDICTS = {
    text: word for word in ON_DRAWN_DATA for text in (str(word), ON_DRAWN_DATA[word], EXPLORED[word])
}  # by their texts


def overview(
    runs: Sequence[FinishedRun], claims: list[JudgedClaim], sections: list[Section], drawn: list[figures.Figure]
) -> str:
    """Counts, the verdict, the first tables, and links to the rest."""
    experiments = [run.experiment for run in runs]
    counted = {
        "finished runs": len(runs),
        "methods": len({each.method for each in experiments}),
        "data sets": len({each.test for each in experiments}),
        "figures": len(drawn),
    }
    tiles = [el("li", el("b", f"{count:,}"), " ", el("span", name)) for name, count in counted.items()]
    shown = list({str(each.frame["data set"].iloc[0]): each for each in reversed(sections)}.values())[::-1]
    first = [
        el("h2", "Results"),
        [table_section(each, f"results-{n}", MOST_FIRST, "h3") for n, each in enumerate(shown[:3])],
    ]
    more = el("p", el("a", f"All {len(sections)} tables, under every protocol", href="tables.html"))
    body = [
        el("h1", "Results at a glance"),
        el("ul", tiles, class_="tiles"),
        el("h2", "Verdict"),
        _verdict(claims),
        first,
        more,
        el("h2", "Figures"),
        el(
            "ul",
            [el("li", el("a", each.title, href=f"figures.html#{_id(each.name)}")) for each in drawn],
            class_="links",
        ),
    ]
    return page("Overview", body, current="Overview")


def _verdict(claims: list[JudgedClaim]) -> Markup:
    """A table for each pair of data sets, with notes below it."""
    counted = ", ".join(f"{sum(each.verdict == word for each in claims)} {word.lower()}" for word in MARKS)
    return el("div", el("p", f"Of {len(claims)} claims: {counted}."), [_judged(grid) for grid in grids(claims)])


def _judged(grid: Grid) -> Markup:
    rows = []
    for row in grid.rows:
        cells = dict(zip(grid.head, row, strict=True))
        word = VERDICTS[cells["verdict"]]
        mark = el("span", f"{MARKS[word]} {cells['verdict']}", class_=f"verdict {word.lower()}")
        rows.append({**cells, "verdict": mark})
    notes = [el("p", note, class_="note") for note in grid.notes]
    made = table(pd.DataFrame(rows, columns=list(grid.head)), f"Verdict on {grid.title}") if rows else None
    return el("section", el("h3", grid.title), made, notes)


def all_tables(sections: list[Section]) -> str:
    """Every table, with sorting and filters; only the first rows of each if the page would be too large."""
    most = MOST_ROWS
    while len(made := _tables(sections, most)) > MOST_LETTERS and most > 1:
        most //= 2
    return made


def _tables(sections: list[Section], most: int) -> str:
    links = [el("li", el("a", each.title, href=f"#table-{number}")) for number, each in enumerate(sections)]
    body = [
        el("h1", "Tables"),
        filters([each.frame for each in sections]),
        el(
            "details",
            el("summary", f"{len(sections)} tables"),
            el("ul", links, class_="links"),
            open=len(sections) < 13,
        ),
        [table_section(each, f"table-{number}", most) for number, each in enumerate(sections)],
    ]
    return page("Tables", body, current="Tables")


def all_runs(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """The list of runs, MOST_ROWS per page: the pages by file name."""
    rows = []
    for run in runs:
        experiment, metrics = run.experiment, run.record.metrics[0]
        rows.append(
            {
                "run": el("a", run.name, href=f"runs/{quote(run.name)}.html"),
                "data set": experiment.datasets.title,
                "baseline": baseline(experiment.method),
                "method": experiment.method,
                "protocol": metrics.protocol,
                "recipe": experiment.recipe,
                "seed": experiment.seed,
                "split": experiment.split,
                "R1": cell([metrics.percent("R1")]),
                "mAP": cell([metrics.percent("mAP")]),
                "finished": f"{run.record.finished:%Y-%m-%d %H:%M}",
            }
        )
    frame = pd.DataFrame(rows)
    parts = [frame[start : start + MOST_ROWS] for start in range(0, len(frame), MOST_ROWS)]
    made = {}
    for number, part in enumerate(parts, 1):
        links = [
            el("a", str(other), href=_runs_file(other), aria_current="page" if other == number else None)
            for other in range(1, len(parts) + 1)
        ]
        pager = el(
            "nav",
            "Runs, page ",
            links,
            "; sorting and filters apply to this page only",
            aria_label="Pages of runs",
            class_="pager",
        )
        body = [
            el("h1", f"{len(frame):,} runs"),
            pager if len(parts) > 1 else None,
            filters([part]),
            table(part, "Runs"),
        ]
        made[_runs_file(number)] = page("Runs", body, current="Runs")
    return made


def _runs_file(number: int) -> str:
    return "runs.html" if number == 1 else f"runs-{number}.html"


def all_figures(drawn: list[figures.Figure]) -> str:
    """The figures as `bench figure` draws them, with their numbers and download links."""
    body = [el("h1", "Figures"), [_figure(each) for each in drawn]]
    return page("Figures", body, current="Figures")


def _figure(figure: figures.Figure) -> Markup:
    file = f"figures/{quote(figure.name)}"
    files = [[el("a", suffix.upper(), href=f"{file}.{suffix}", download=True), " "] for suffix in SUFFIXES]
    rows = [
        {
            "panel": panel.title,
            "line": line.label,
            panel.x: dict(panel.ticks).get(x, f"{x:g}"),
            "value": f"{y:.2f}",
            "low": "" if low != low else f"{low:.2f}",
            "high": "" if high != high else f"{high:.2f}",
        }
        for panel in figure.panels
        for line in panel.lines
        for x, y, low, high in zip(line.x, line.y, line.low, line.high, strict=True)
    ]
    reason = "; ".join(dict.fromkeys(panel.empty for panel in figure.panels if panel.empty))
    image = el(
        "img",
        src=f"{file}.svg",
        alt=f"{figure.title}: {reason or 'its numbers are in the table below'}",
        loading="lazy",
    )
    numbers = el("details", el("summary", "Numbers"), table(pd.DataFrame(rows), figure.title)) if rows else None
    notes = [el("p", note, class_="note") for note in figure.notes]
    return el(
        "section",
        el("h2", figure.title),
        el("div", image, class_="paper", role="region", aria_label=figure.title, tabindex="0"),
        notes,
        el("p", files),
        numbers,
        id=_id(figure.name),
    )


def _id(name: str) -> str:
    return re.sub(r"[^\w-]", "-", name)

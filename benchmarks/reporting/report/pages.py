"""The pages of the report: overview, tables, runs and figures."""

import re
from collections.abc import Sequence
from urllib.parse import quote

import pandas as pd

from benchmarks.reporting.answer import answer, brief, headline
from benchmarks.reporting.drawing import SUFFIXES
from benchmarks.reporting.figures.cues import crossings
from benchmarks.reporting.figures.figure import Figure
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.provenance import data_notes, pair_title
from benchmarks.reporting.table import cell
from benchmarks.reporting.verdict import EXPLORED, ON_DRAWN_DATA, JudgedClaim
from benchmarks.reporting.verdict_tables import grids
from benchmarks.runs.finished import FinishedRun
from benchmarks.wording import number_of

from .contents import Section, baseline
from .html import Markup, el, page
from .html_tables import MOST_ROWS, filters, table, table_section

ALL_RUNS = "all runs"  # the tables that are of no suite
MOST_LETTERS = 1_500_000  # on a page of tables, to keep it below 2 MB
MOST_FIRST = 40  # rows per table on the overview
MARKS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "NEGLIGIBLE": "≈", "UNDECIDED": "?"}
VERDICTS = {
    text: word for word in ON_DRAWN_DATA for text in (str(word), ON_DRAWN_DATA[word], EXPLORED[word])
}  # by their texts


def overview(
    runs: Sequence[FinishedRun],
    current: Sequence[FinishedRun],
    claims: list[JudgedClaim],
    sections: list[Section],
    drawn: list[Figure],
) -> str:
    """The answer in words and as a picture, counts, the verdict, the first tables, and links to the rest.

    Args:
        current: those of the runs that were judged.
    """
    experiments = [run.experiment for run in runs]
    counted = {
        "finished runs": len(runs),
        "methods": len({each.method for each in experiments}),
        "data sets": len({each.test for each in experiments}),
        "figures": len(drawn),
    }
    tiles = [el("li", el("b", f"{count:,}"), " ", el("span", name)) for name, count in counted.items()]
    left = len(runs) - len(current)
    shown = list({str(each.frame["data set"].iloc[0]): each for each in reversed(sections)}.values())[::-1]
    body = [
        el("h1", "Results at a glance"),
        [el("p", line) for line in (*crossings(current), *headline(claims))],
        [_image(each) for each in drawn if each.name == "forest"],
        [el("p", line) for line in answer(claims)],
        el("ul", tiles, class_="tiles"),
        [el("p", f"{number_of(left, 'stale run')} left out of the verdict and of the figures.")] * bool(left),
        el("h2", "Verdict"),
        el("div", [_judged(grid) for grid in brief(list(grids(claims, [run.record for run in current])))]),
        el("h2", "Results"),
        [table_section(each, f"results-{n}", MOST_FIRST, "h3") for n, each in enumerate(shown[:3])],
        el("p", el("a", f"All {len(sections)} tables, suite by suite", href="tables.html")),
        el("h2", "Figures"),
        el(
            "ul",
            [el("li", el("a", each.title, href=f"figures.html#{_id(each.name)}")) for each in drawn],
            class_="links",
        ),
    ]
    return page("Overview", body, current="Overview")


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


def all_tables(sections: list[Section], drawn: list[Figure]) -> dict[str, str]:
    """The list of suites, and a page for each with its tables and a link to its figure: the pages by file name."""
    suites: dict[str, list[Section]] = {}
    for each in sections:
        suites.setdefault(each.suite, []).append(each)
    rows = [
        {
            "suite": el("a", name or ALL_RUNS, href=_tables_file(name)),
            "question": of_suite[0].question,
            "tables": len(of_suite),
            "data sets": ", ".join(dict.fromkeys(str(each) for one in of_suite for each in one.frame["data set"])),
        }
        for name, of_suite in suites.items()
    ]
    listed = table(pd.DataFrame(rows), "Suites") if rows else None
    made = {"tables.html": page("Tables", [el("h1", "Tables by suite"), listed], current="Tables")}
    return made | {_tables_file(name): _suite_page(name, of_suite, drawn) for name, of_suite in suites.items()}


def _tables_file(suite: str) -> str:
    return f"tables-{suite or ALL_RUNS.replace(' ', '-')}.html"


def _suite_page(name: str, sections: list[Section], drawn: list[Figure]) -> str:
    """The tables of one suite, with sorting and filters; only the first rows of each if the page would be too large."""
    figures = [
        each for each in drawn if name and each.name in (name, f"{name}-{sections[0].frame['data set'].iloc[0]}")
    ]
    links = [el("p", el("a", each.title, href=f"figures.html#{_id(each.name)}")) for each in figures]
    most = MOST_ROWS
    while len(made := _tables(name, sections, most, links)) > MOST_LETTERS and most > 1:
        most //= 2
    return made


def _tables(name: str, sections: list[Section], most: int, links: list[Markup]) -> str:
    body = [
        el("h1", name or "All runs"),
        el("p", sections[0].question) if name else None,
        links,
        filters([each.frame for each in sections]),
        [table_section(each, f"table-{number}", most) for number, each in enumerate(sections)],
    ]
    return page(name or "All runs", body, current="Tables")


def all_runs(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """The list of runs, MOST_ROWS per page: the pages by file name."""
    rows = []
    for run in runs:
        experiment, metrics = run.experiment, run.record.metrics[0]
        rows.append(
            {
                "run": el("a", run.name, href=f"runs/{quote(run.name)}.html"),
                "data set": pair_title(experiment.datasets, data_notes([run.record])),
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
            el("h1", number_of(len(frame), "run")),
            pager if len(parts) > 1 else None,
            filters([part]),
            table(part, "Runs"),
        ]
        made[_runs_file(number)] = page("Runs", body, current="Runs")
    return made


def _runs_file(number: int) -> str:
    return "runs.html" if number == 1 else f"runs-{number}.html"


def all_figures(drawn: list[Figure]) -> str:
    """The figures as `bench figure` draws them, with their numbers and download links."""
    body = [el("h1", "Figures"), [_figure(each) for each in drawn]]
    return page("Figures", body, current="Figures")


def _figure(figure: Figure) -> Markup:
    file = f"figures/{quote(figure.name)}"
    files = [[el("a", suffix.upper(), href=f"{file}.{suffix}", download=True), " "] for suffix in SUFFIXES]
    rows = [
        {
            "panel": panel.title,
            "line": line.label,
            panel.x: dict(panel.ticks).get(x, f"{x:g}"),
            "value": f"{y:z.2f}",
            "low": "" if low != low else f"{low:z.2f}",
            "high": "" if high != high else f"{high:z.2f}",
        }
        for panel in figure.panels
        for line in panel.lines
        for x, y, low, high in zip(line.x, line.y, line.low, line.high, strict=True)
    ]
    numbers = el("details", el("summary", "Numbers"), table(pd.DataFrame(rows), figure.title)) if rows else None
    notes = [el("p", note, class_="note") for note in figure.notes]
    return el(
        "section",
        el("h2", figure.title),
        _image(figure),
        notes,
        el("p", files),
        numbers,
        id=_id(figure.name),
    )


def _image(figure: Figure) -> Markup:
    reason = "; ".join(dict.fromkeys(panel.empty for panel in figure.panels if panel.empty))
    image = el(
        "img",
        src=f"figures/{quote(figure.name)}.svg",
        alt=f"{figure.title}: {reason or 'its numbers are in a table'}",
        loading="lazy",
    )
    return el("div", image, class_="paper", role="region", aria_label=figure.title, tabindex="0")


def _id(name: str) -> str:
    return re.sub(r"[^\w-]", "-", name)

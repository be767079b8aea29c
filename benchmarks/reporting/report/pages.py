"""The pages of the report, from the runs and from what `contents` says."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pandas as pd

from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.reporting import figures, gallery
from benchmarks.reporting.drawing import SUFFIXES
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.table import cell, percent
from benchmarks.reporting.verdict import IN_THIS_WORLD, Judged, grids
from benchmarks.runs.finished import Found, first_protocol
from benchmarks.runs.records import RANKS, Record

from .charts import chart
from .contents import FILTERS, Section, baseline
from .html import Markup, cells, el, page, pairs, scrolling

NUMBER = re.compile(r"[-+]?\d")
MOST_ROWS = 1000  # of a table
MOST_LETTERS = 1_500_000  # of the page of all tables, so that it stays below 2 MB
MOST_FIRST = 40  # rows of a table on the overview
MOST_QUERIES = 200  # on a run's page
MARKS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "NEGLIGIBLE": "≈", "UNDECIDED": "?"}
WORDS = {said: word for word in IN_THIS_WORLD for said in (str(word), IN_THIS_WORLD[word])}


def overview(runs: Sequence[Found], claims: list[Judged], sections: list[Section], drawn: list[figures.Figure]) -> str:
    """What there is, and what it comes to."""
    experiments = [run.record["experiment"] for run in runs]
    counted = {
        "finished runs": len(runs),
        "methods": len({each["method"] for each in experiments}),
        "data sets": len({each["test"] for each in experiments}),
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
        el("h1", "What came out"),
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


def _verdict(claims: list[Judged]) -> Markup:
    """A table a data set, with what is missing below it."""
    counted = ", ".join(f"{sum(each.word == word for each in claims)} {word.lower()}" for word in MARKS)
    return el("div", el("p", f"Of {len(claims)} claims: {counted}."), [_judged(grid) for grid in grids(claims)])


def _judged(grid: Grid) -> Markup:
    rows = []
    for row in grid.rows:
        cells = dict(zip(grid.head, row, strict=True))
        word = WORDS[cells["verdict"]]
        mark = el("span", f"{MARKS[word]} {cells['verdict']}", class_=f"verdict {word.lower()}")
        rows.append({**cells, "verdict": mark})
    notes = [el("p", note, class_="note") for note in grid.notes]
    made = table(pd.DataFrame(rows, columns=list(grid.head)), f"Verdict on {grid.title}") if rows else None
    return el("section", el("h3", grid.title), made, notes)


def all_tables(sections: list[Section]) -> str:
    """Every table, to be sorted and filtered; where they are too many for a page, the first rows of each."""
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


def table_section(section: Section, name: str, most: int, level: str = "h2") -> Markup:
    """A table with its title and its notes."""
    notes = [el("p", note, class_="note") for note in section.notes]
    return el(
        "section", el(level, section.title), table(section.frame, section.title, most), notes, id=name, class_="table"
    )


def filters(frames: list[pd.DataFrame]) -> Markup:
    """A choice for each of `FILTERS`; hidden until the script that answers it has come."""
    choices = []
    for name in FILTERS:
        values = sorted({str(value) for frame in frames if name in frame for value in frame[name]})
        options = [el("option", f"every {name}", value=""), [el("option", value) for value in values]]
        choices.append(el("label", el("span", name), el("select", options, name=_key(name))))
    return el("form", choices, el("p", role="status"), class_="filters", hidden=True)


def table(frame: pd.DataFrame, label: str, most: int = MOST_ROWS) -> Markup:
    """Rows of text, numbers or markup. Numbers stand to the right, and what stands in the place of one; a long table is cut."""
    cut = frame.head(most)
    kept = [name for name in FILTERS if name in frame]
    shown = [name for name in frame if name not in kept or (name != "baseline" and frame[name].nunique() > 1)]
    numeric = {name: [bool(NUMBER.match(_text(value))) for value in cut[name]] for name in shown}
    right = {name for number, name in enumerate(shown) if (any if number else all)(numeric[name])}
    head = el("tr", [el("th", name, scope="col", class_="number" if name in right else None) for name in shown])
    columns = [cut.columns.get_loc(name) for name in shown]
    known = [(_key(name), cut.columns.get_loc(name)) for name in kept]
    stands_right = [name in right for name in shown]
    rows = [
        el("tr", cells((row[i] for i in columns), stands_right), **{f"data_{key}": row[i] for key, i in known})
        for row in cut.itertuples(index=False, name=None)
    ]
    made = scrolling(el("table", el("thead", head), el("tbody", rows), class_="sortable"), label)
    if len(frame) <= most:
        return made
    return el("div", el("p", f"The first {most:,} of {len(frame):,} rows.", class_="note"), made)


def all_runs(runs: Sequence[Found]) -> dict[str, str]:
    """The list of runs by file, `MOST_ROWS` a page."""
    rows = []
    for run in runs:
        experiment, metrics = run.record["experiment"], run.record["metrics"][0]
        place = (
            experiment["test"]
            if experiment["test"] == experiment["dataset"]
            else f"{experiment['dataset']} to {experiment['test']}"
        )
        rows.append(
            {
                "run": el("a", run.name, href=f"runs/{quote(run.name)}.html"),
                "data set": place,
                "baseline": baseline(experiment["method"]),
                "method": experiment["method"],
                "protocol": metrics["protocol"],
                "recipe": experiment["recipe"],
                "seed": experiment["seed"],
                "split": experiment["split"],
                "R1": cell([percent(metrics["R1"])]),
                "mAP": cell([percent(metrics["mAP"])]),
                "finished": run.record["finished"][:16].replace("T", " "),
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
            "; sorting and filters are of this page",
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


def one_run(run: Found, strips: dict[str, Any] | None, stale: list[str]) -> str:
    """Everything about one run.

    Args:
        strips: the ranked lists that `bench gallery` left; their files lie in NAME/ beside the page.
        stale: why the run is not current.
    """
    record, experiment = run.record, run.record["experiment"]
    place = experiment["dataset"]
    if experiment["test"] != place:
        place = f"{place}, evaluated on {experiment['test']}"
    body = [
        el("p", el("a", "All runs", href="../runs.html"), class_="back"),
        el("h1", f"{experiment['method']} on {place}"),
        el(
            "p", f"Seed {experiment['seed']}, split {experiment['split']}, recipe {experiment['recipe']}", class_="lead"
        ),
        el("p", el("code", run.name)),
        [el("p", f"Stale: {reason}", class_="warning") for reason in stale],
        el("h2", "Results"),
        table(_metrics(record), "Results"),
        el("h2", "Curves"),
        _curves(run),
        el("h2", "Settings"),
        _settings(record),
        el("h2", "Where it was made"),
        pairs(_origin(record)),
        el("h2", "Queries"),
        _queries(run),
        el("h2", "Ranked strips"),
        gallery.section(strips, f"{quote(run.name)}/") if strips else el("p", _no_strips(run), class_="note"),
    ]
    return page(run.name, body, current="Runs", up="../")


def _metrics(record: Record) -> pd.DataFrame:
    names = ["mAP", *(f"R{rank}" for rank in RANKS)]
    return pd.DataFrame(
        {"protocol used": row["protocol"], "batch norm": row["feature"]}
        | {name: cell([percent(row[name])]) for name in names}
        | {"queries": row["queries"], "unmatched": row["unmatched"]}
        for row in record["metrics"]
    )


def _curves(run: Found) -> Markup:
    matched = [replace(panel, title=panel.y) for panel in figures.cmc([run]).panels]
    charts = [chart(panel) for panel in (*figures.training([run]).panels, *matched)]
    notes = f"Match by rank: protocol {first_protocol(run.record)}; its band is the {figures.LEVEL}."
    return el("div", el("div", charts, class_="charts"), el("p", notes, class_="note"))


def _settings(record: Record) -> Markup:
    experiment = record["experiment"]
    changed = changed_from_recipe(experiment["recipe"], experiment["method"], experiment["settings"]) or {}
    values = {
        key: el("b", f"{value} (changed from the recipe)") if key in changed else value
        for key, value in sorted(experiment["settings"].items())
    }
    return pairs(values)


def _origin(record: Record) -> dict[str, Any]:
    environment, git = record["environment"], record["environment"]["git"]
    found: dict[str, Any] = {"finished": record["finished"], "code": record["code"][:16]}
    found["commit"] = f"{git['commit'][:12]}{', with changes' if git['dirty'] else ''}" if git else "not a checkout"
    found |= {key: record["experiment"][key][:16] for key in ("data", "test_data", "weights")}
    found |= {key: value for key, value in environment.items() if key not in ("git", "packages") and value is not None}
    found |= dict(environment["packages"])
    if cost := record["cost"]:
        found["parameters"] = f"{cost['parameters'] / 1e6:.2f} M"
        found["multiply-adds a frame"] = f"{cost['multiply_adds'] / 1e9:.3f} G"
    for phase, lap in record["phases"].items():
        unit = "tracklets" if phase == "evaluate" else "frames"
        found[phase] = f"{lap['seconds']:.1f} s, {lap['per_second']:.0f} {unit}/s"
    return found | {f"peak memory, {key}": f"{value / 2**30:.2f} GiB" for key, value in record["peak_memory"].items()}


def _queries(run: Found) -> Markup:
    rows = run.queries()
    if rows.empty:
        return el("p", "This run kept no results a query.", class_="note")
    worst = rows.sort_values(["average_precision", "query"], na_position="first").head(MOST_QUERIES)
    frame = pd.DataFrame(
        {
            "query": worst["query"],
            "person": worst.pid,
            "camera": worst.camid,
            "average precision": [
                "no match" if value != value else f"{100 * value:.1f}" for value in worst.average_precision
            ],
            "first right at rank": ["no match" if value != value else f"{value:.0f}" for value in worst.first_hit_rank],
        }
    )
    protocol = first_protocol(run.record)
    said = (
        f"All {len(rows)} queries"
        if len(rows) <= MOST_QUERIES
        else f"The worst {MOST_QUERIES} of {len(rows):,} queries"
    )
    kept = "" if len(rows) <= MOST_QUERIES else "; the run's queries.parquet has all of them"
    note = el("p", f"{said}, worst first, under protocol {protocol}{kept}.", class_="note")
    return el("details", el("summary", said), note, table(frame, "Queries"))


def _no_strips(run: Found) -> str:
    if run.folder is None or not run.folder.weights.exists():
        return "None: the weights of this run are not here."
    return f"None yet: bench gallery {run.name} draws them, and the next report shows them."


def all_figures(drawn: list[figures.Figure]) -> str:
    """The figures as `bench figure` draws them, with their numbers and as files."""
    body = [el("h1", "Figures"), [_figure(each) for each in drawn]]
    return page("Figures", body, current="Figures")


def _figure(figure: figures.Figure) -> Markup:
    file = f"figures/{quote(figure.name)}"
    files = [[el("a", suffix.upper(), href=f"{file}.{suffix}", download=True), " "] for suffix in SUFFIXES]
    rows = [
        {
            "panel": panel.title,
            "line": line.label,
            panel.x: dict(panel.ticks).get(place, f"{place:g}"),
            "value": f"{y:.2f}",
            "low": "" if low != low else f"{low:.2f}",
            "high": "" if high != high else f"{high:.2f}",
        }
        for panel in figure.panels
        for line in panel.lines
        for place, y, low, high in zip(line.x, line.y, line.low, line.high, strict=True)
    ]
    why = "; ".join(dict.fromkeys(panel.empty for panel in figure.panels if panel.empty))
    image = el(
        "img", src=f"{file}.svg", alt=f"{figure.title}: {why or 'its numbers are in the table below'}", loading="lazy"
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


def _key(name: str) -> str:
    return name.replace(" ", "-")


def _text(value: Any) -> str:
    """What a reader sees of a cell."""
    return re.sub(r"<[^>]*>", "", value.html) if isinstance(value, Markup) else str(value)

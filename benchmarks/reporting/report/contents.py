"""What the report says, as plain data: its tables, its verdict and its figures. `pages` makes HTML of it.

To put more into the report, return more from these three functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from benchmarks import controls
from benchmarks.records import Record
from benchmarks.reporting import figures
from benchmarks.reporting import verdict as judging
from benchmarks.reporting.found import Found
from benchmarks.reporting.queries import Results
from benchmarks.reporting.table import COLUMNS, Table, cell, tables
from benchmarks.settings import split_method

from .html import el

FILTERS = ("data set", "baseline", "protocol")


@dataclass(frozen=True)
class Section:
    """A table under its title.

    Attributes:
        frame: cells are text, numbers or `html.Markup`; a cell sorts by the number that it begins with. The columns of
            `FILTERS`, where there are any, filter the rows and are shown only where they differ (`baseline` never).
        notes: what stands under the table.
    """

    title: str
    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper at one place and what the runs say of it, as text. word: SUPPORTED and so on, for the mark."""

    claim: str
    place: str
    verdict: str
    word: str
    effect: str = ""
    interval: str = ""
    paper: str = ""
    inside: str = ""
    runs: str = ""
    note: str = ""


def result_tables(runs: Sequence[Found], digests: dict[str, set[str]] | None = None) -> list[Section]:
    """A table a data set and protocol: methods down, R1 to R20 and mAP across, the best in bold."""
    records = [run.record for run in runs]
    protocols = dict.fromkeys(row["protocol"] for record in records for row in record["metrics"])
    made = [(protocol, table) for protocol in protocols for table in tables(records, protocol, digests)]
    order = {protocol: number for number, protocol in enumerate(protocols)}
    made.sort(key=lambda each: (each[1].title, order[each[0]]))
    return [_section(protocol, table) for protocol, table in made if protocol != "validation"]


def _section(protocol: str, table: Table) -> Section:
    rows = []
    means = {column: [_mean(row.values[column]) for row in table.rows] for column in COLUMNS}
    best = {column: max(values) for column, values in means.items()}
    for number, row in enumerate(table.rows):
        method = row.runs[0]["experiment"]["method"]
        cells: dict[str, object] = {"data set": table.title, "baseline": baseline(method), "protocol": protocol}
        cells |= {"method": row.label + ("*" if row.stale else ""), "runs": len(row.runs)}
        for column in COLUMNS:
            text = cell(row.values[column])
            cells[column] = el("b", text) if len(table.rows) > 1 and means[column][number] == best[column] else text
        rows.append(cells)
    return Section(
        f"{table.title}, protocol {protocol}", pd.DataFrame(rows), [*table.notes, "Bold: the best of its column."]
    )


def baseline(method: str) -> str:
    """The baseline of a method; of someone else's, its name."""
    return split_method(method)[0] if method.endswith(("+afa", "+afa-motion")) else method


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else -1.0


def verdict(runs: Sequence[Found]) -> list[Claim]:
    """The paper's claims one by one, as `bench verdict` judges them."""
    found = [run.record for run in runs]
    judged = judging.judge(found, _Results(runs), controls=controls.standing(found))
    return [
        Claim(text, place, said, str(each.word), effect, interval, paper, inside, count, each.missing)
        for each in judged
        for place, (text, count, effect, interval, paper, inside, said) in [(each.title, judging.row(each))]
    ]


class _Results(Results):
    """Results a query of the runs of a report, wherever they come from."""

    def __init__(self, runs: Sequence[Found]) -> None:
        self.runs = {run.name: run for run in runs}

    def of(self, record: Record) -> pd.DataFrame:
        return self.runs[record["name"]].all_queries()


def drawn_figures(runs: Sequence[Found]) -> list[figures.Figure]:
    """The figures of the report: the paper's, and match by rank and training for each data set."""
    datasets = sorted({run.record["experiment"]["test"] for run in runs})
    swept = [figures.fig3a(runs), figures.fig3b(runs)]
    here = [(name, [run for run in runs if run.record["experiment"]["test"] == name]) for name in datasets]
    drawn = [figures.cmc(found) for _, found in here] + [figures.training(found) for _, found in here]
    names = [f"{figure.name}-{name}" for figure, name in zip(drawn, datasets * 2, strict=True)]
    titles = [f"{figure.title} on {name}" for figure, name in zip(drawn, datasets * 2, strict=True)]
    renamed = [
        figures.Figure(name, title, figure.panels, figure.notes)
        for name, title, figure in zip(names, titles, drawn, strict=True)
        if figure.name != "training" or any(panel.lines for panel in figure.panels)
    ]
    return swept + renamed

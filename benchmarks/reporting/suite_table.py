"""A suite's table: the paper's layout row by row, what was measured beside what the paper prints, and why a cell is empty."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.data.dataset import Dataset
from benchmarks.data.loading import find_dataset, load, why_unavailable
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.runs.records import Record
from benchmarks.scheduling.states import DONE, FindStates, State
from benchmarks.suites.suite import Choice, Row, Suite, dataset_pairs, experiments_of_row, rows_for

from . import paper_numbers
from .grid import Grid
from .table import (
    PRICES,
    best,
    cell,
    code_of,
    departures,
    drawn,
    lettered,
    mean,
    percent,
    priced,
    priced_cells,
    processor,
    tuning,
)


def grids(
    suite: Suite, choice: Choice, look: FindStates, protocol: str | None = None, feature: str = "before"
) -> list[Grid]:
    """A table for each place of a suite.

    Args:
        look: gives the states of planned experiments.
        protocol: in place of the data set's first, for rows without their own.
        feature: "before" or "after" batch normalisation, likewise.
    """
    return [
        grid(suite, place, measured(suite, choice, place, look, protocol, feature))
        for place in dataset_pairs(suite, choice)
    ]


@dataclass(frozen=True)
class Line:
    """A row as it was measured: values and printed figures by metric in percent, the latter NaN where there is none.

    row: None of a system that is not built here; view: the protocol and the feature under which it stands.
    """

    label: str
    row: Row | None
    view: tuple[str, str]
    states: list[State]
    values: dict[str, list[float | None]]
    printed: dict[str, float]

    @property
    def runs(self) -> list[Record]:
        return _finished(self.states)

    @property
    def means(self) -> dict[str, float]:
        """NaN where nothing was measured."""
        return {metric: mean(values) for metric, values in self.values.items()}

    @property
    def off(self) -> dict[str, float]:
        """How far from what was printed."""
        return {metric: mean - self.printed[metric] for metric, mean in self.means.items()}


def measured(
    suite: Suite,
    choice: Choice,
    place: DatasetPair,
    look: FindStates,
    protocol: str | None = None,
    feature: str = "before",
) -> list[Line]:
    """The rows of a suite's table at one place; the arguments are those of `grids`."""
    protocol = protocol or find_dataset(place[1]).protocols[0]
    printed = _printed(suite, place)
    rows = {row.label: row for row in rows_for(suite, place, choice)}
    planned = {label: experiments_of_row(row, place, choice) for label, row in rows.items()}
    states = iter(look([each for row in planned.values() for each in row]))
    found = {label: list(islice(states, len(row))) for label, row in planned.items()}
    shown = [
        each for each in suite.metrics if not _comparable(suite, place) or any(each in row for row in printed.values())
    ]
    lines = []
    for label in dict.fromkeys([*printed, *rows]):
        row, here = rows.get(label), found.get(label, [])
        view = ((row and row.protocol) or protocol, (row and row.feature) or feature)
        values = {metric: _values(_finished(here), metric, *view) for metric in shown}
        told = {metric: printed.get(label, {}).get(metric, math.nan) for metric in shown}
        lines.append(Line(label, row, view, here, values, told))
    return lines


def grid(suite: Suite, place: DatasetPair, lines: Sequence[Line]) -> Grid:
    """The rows as a table with what must be said of it."""
    printed, comparable, metrics = (
        bool(_printed(suite, place)),
        _comparable(suite, place),
        list(lines[0].values) if lines else [],
    )
    beside = [_teller(suite)] * printed + ["Δ"] * comparable
    bound = [f"within {suite.tolerance:g}"] * (comparable and suite.tolerance < math.inf)
    head = ["method", "runs", *(each for metric in metrics for each in (metric, *beside)), *bound, *PRICES]
    letters = lettered(run for line in lines for run in line.runs)
    body = [
        [
            *_cells(line, printed, comparable),
            *([_within(line, suite.tolerance)] * len(bound)),
            *(priced_cells(line.runs, letters) if line.runs else [""] * len(PRICES)),
        ]
        for line in lines
    ]
    bold = {
        (row, 2 + (1 + len(beside)) * column)
        for column, metric in enumerate(metrics)
        for row in best([line.means[metric] for line in lines])
    }
    notes = _views(lines)
    off = [line.label for line in lines if comparable and _within(line, suite.tolerance) == "NO"]
    if off:
        notes.append(f"OFF BY MORE THAN {suite.tolerance:g}, AND SO THIS HARNESS IS WRONG SOMEWHERE: {'; '.join(off)}")
    if printed and not comparable:
        where = " to ".join(dict.fromkeys(_places(suite)[-1]))
        whose = "its" if suite.paper else "published"
        notes.append(f"{_teller(suite)}: {whose} figures on {where}; no difference is taken between data sets")
    if printed and any(math.isnan(figure) for line in lines for figure in line.printed.values()):
        notes.append(f"{_teller(suite)}: empty where none was printed")
    return Grid(" to ".join(dict.fromkeys(place)), head, body, [*notes, *_made(lines, letters)], frozenset(bold))


def _comparable(suite: Suite, place: DatasetPair) -> bool:
    """Whether figures were printed of this very place."""
    return bool(_printed(suite, place)) and place in _places(suite)


def _cells(line: Line, printed: bool, comparable: bool) -> list[str]:
    """Label, runs, and for each metric what was measured, what was printed and the difference."""
    row, planned = line.row, len(line.states)
    cells = [line.label if row is None or row.method in (line.label, "") else f"{line.label} ({row.method})"]
    cells.append(f"{len(line.runs)}/{planned}" if planned else "")
    said = _said(row, line.states)
    for metric, values in line.values.items():
        cells.append(cell(values) if values else said)
        said = "" if not values else said  # the reason stands once a row
        cells += [_figure(line.printed[metric], "{:.1f}")] * printed + [
            _figure(line.off[metric], "{:+.1f}")
        ] * comparable
    return cells


def _figure(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


def _teller(suite: Suite) -> str:
    """Who printed the figures beside ours: the head of their column."""
    return "paper" if suite.paper else "expected"


def _within(line: Line, tolerance: float) -> str:
    """Whether the figures lie as near what was printed as they must; empty where there is none."""
    off = [abs(each) for each in line.off.values() if not math.isnan(each)]
    return "" if not off else "yes" if max(off) <= tolerance else "NO"


def _finished(states: Sequence[State]) -> list[Record]:
    return [state.record for state in states if state.name == DONE and state.record is not None]


def _places(suite: Suite) -> list[DatasetPair]:
    return suite.pairs(suite.datasets)


def _printed(suite: Suite, place: DatasetPair) -> dict[str, dict[str, float]]:
    """What was printed of the rows, by the paper or by who expects it: label -> metric -> percent.

    Of a place that the paper has not, its last place's.
    """
    if not suite.paper:
        rows = suite.rows(_places(suite)[-1][0])
        return {row.label: dict(row.expected) for row in rows if row.expected}
    rows = paper_numbers.at(suite.paper, place)
    found: dict[str, dict[str, float]] = {}
    for label, metric, value in zip(rows.method, rows.metric, rows.value, strict=True):
        found.setdefault(str(label), {})[str(metric)] = float(value)
    return found


def _values(runs: Sequence[Record], metric: str, protocol: str, feature: str) -> list[float | None]:
    rows = [row for run in runs for row in run["metrics"] if (row["protocol"], row["feature"]) == (protocol, feature)]
    return [percent(row[metric]) for row in rows]


def _said(row: Row | None, states: Sequence[State]) -> str:
    """Why there is no figure: the states that are not done, and how many of each where they differ."""
    if row is None:
        return "not built here"
    words = pd.Series([state.name for state in states if state.name != DONE], dtype=str).value_counts()
    if words.empty:
        return "protocol not computed"
    return ", ".join(word if len(words) == 1 else f"{count} {word}" for word, count in words.items())


# What must be one for a table to compare methods and nothing else: its name, and where a record has it.
SHARED: dict[str, Callable[[Record], Any]] = {
    "recipe": lambda record: record["experiment"]["recipe"],
    "precision": lambda record: record["experiment"]["settings"].get("precision"),
    "epochs": lambda record: record["experiment"]["settings"].get("epochs"),
    "backbone": lambda record: record["experiment"]["settings"].get("backbone"),
    "frames": lambda record: "{height}x{width}".format(**record["experiment"]["settings"]),
    "processor": processor,
}


def _views(lines: Sequence[Line]) -> list[str]:
    """Under which protocol and by which feature the rows stand; which rows, where it is not one for all."""
    views: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        views.setdefault(line.view, []).append(line.label)
    return [
        f"protocol {protocol}; percent; mean ± standard deviation over runs; feature {feature} batch normalisation"
        f"{': ' + '; '.join(labels) if len(views) > 1 else ''}"
        for (protocol, feature), labels in views.items()
    ]


def _made(lines: Sequence[Line], letters: dict[str, str]) -> list[str]:
    """How the runs were made. Mixed is what differs among rows that do not ask for recipes of their own."""
    runs = [run for line in lines for run in line.runs]
    if not runs:
        return []
    parts = []
    for key, value in SHARED.items():
        found = {(line.row and line.row.recipe, str(value(run))) for line in lines for run in line.runs}
        mixed = len(found) > len({recipe for recipe, _ in found})
        parts.append(f"{key} {', '.join(sorted({text for _, text in found}))}{' (MIXED)' * mixed}")
    made = "; ".join([drawn(runs), *parts, code_of(runs)])
    return [priced(letters), made, *departures(runs), *tuning((line.label, line.runs) for line in lines)]


def counted(suite: Suite, choice: Choice, root: Path | None = None) -> list[Grid]:
    """Table 1: what the loader counts of each data set, beside the paper's numbers and those of the files as published."""
    printed = paper_numbers.read("table1")
    made = []
    for name, _ in dataset_pairs(suite, choice):
        why = why_unavailable(name, root)
        found = find_dataset(name)
        table = None if why else load(name, root=root).table
        counts = {} if table is None else _counts(table, found)
        published = _published(found)
        ref = printed[printed.method.str.lower().str.replace("-", "") == name]
        told = dict(zip(ref.metric, ref.value, strict=True))
        rows = [[what, *(_number(part.get(what)) for part in (counts, told, published))] for what in COUNTED]
        notes = [f"data set absent: {why}"] if table is None else found.notes(table)
        unknown = any("" in row[2:] for row in rows)
        notes += ["empty beside what is counted: the paper prints none, or none was published"] * unknown
        made.append(Grid(name, ("", "counted", "paper", "published"), rows, notes))
    return made


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


COUNTED = ("identities", "sequences", "frames", "cameras", "train_identities", "test_identities")


def _counts(table: pd.DataFrame, dataset: Dataset) -> dict[str, float]:
    """As Table 1 counts: people without junk and distractors, sequences with them, frames a sequence on average."""
    people = {part: set(rows.pid[rows.pid > 0]) for part, rows in table.groupby("subset")}
    train, test = people.get("train", set()), people.get("query", set())
    test = test if dataset.distractors else test | people.get("gallery", set())
    return {
        "identities": len(train) + len(test),
        "sequences": len(table),
        "frames": float(table.frames.map(len).mean()),
        "cameras": table.camid.nunique(),
        "train_identities": len(train),
        "test_identities": len(test),
    }


def _published(dataset: Dataset) -> dict[str, float]:
    parts, tested = dataset.published, dataset.test_identities
    if not parts or tested is None:
        return {}
    counts: dict[str, float] = {"sequences": sum(part["tracklets"] for part in parts.values())}
    if all("frames" in part for part in parts.values()):
        counts["frames"] = sum(part["frames"] for part in parts.values()) / counts["sequences"]
    counts["cameras"] = max(part["cameras"] for part in parts.values())
    trained = parts["train"]["identities"]
    tested -= dataset.distractors
    return {**counts, "identities": trained + tested, "train_identities": trained, "test_identities": tested}

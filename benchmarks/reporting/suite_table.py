"""A suite's table: the paper's layout row by row, what was measured beside what the paper prints, and why a cell is empty."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.data.loading import absent, definition, load
from benchmarks.records import Record
from benchmarks.suites.states import DONE, Look, State
from benchmarks.suites.suite import Choice, Place, Row, Suite, of_row, places

from . import paper
from .grid import Grid
from .table import PRICED, PRICES, cell, drawn, percent, priced_cells, prices


def grids(suite: Suite, choice: Choice, look: Look, protocol: str | None = None, feature: str = "before") -> list[Grid]:
    """A table for each place of a suite.

    Args:
        look: gives the states of planned experiments.
        protocol: in place of the data set's first, for rows without their own.
        feature: "before" or "after" batch normalisation, likewise.
    """
    return [_grid(suite, choice, place, look, protocol, feature) for place in places(suite, choice)]


@dataclass(frozen=True)
class _Line:
    """A row as it was measured: values and printed figures by metric in percent, the latter NaN where there is none.

    row: None of a system that is not built here; view: the protocol and the feature under which it stands.
    """

    label: str
    row: Row | None
    view: tuple[str, str]
    states: list[State]
    values: list[list[float | None]]
    printed: list[float]

    @property
    def runs(self) -> list[Record]:
        return _finished(self.states)

    @property
    def means(self) -> list[float]:
        """NaN where nothing was measured."""
        return [
            float(np.mean(known)) if (known := [v for v in each if v is not None]) else math.nan for each in self.values
        ]

    @property
    def off(self) -> list[float]:
        """How far from what was printed."""
        return [mean - printed for mean, printed in zip(self.means, self.printed, strict=True)]


def _grid(suite: Suite, choice: Choice, place: Place, look: Look, protocol: str | None, feature: str) -> Grid:
    protocol = protocol or definition(place[1]).protocols[0]
    printed = _printed(suite, place)
    rows = {row.label: row for row in suite.rows(place[0])}
    comparable = bool(printed) and place in _places(suite)
    metrics = [each for each in suite.metrics if not comparable or any(each in row for row in printed.values())]
    lines = []
    for label in dict.fromkeys([*printed, *rows]):
        row = rows.get(label)
        view = ((row and row.protocol) or protocol, (row and row.feature) or feature)
        states = look(of_row(row, place, choice)) if row else []
        values = [_values(_finished(states), metric, *view) for metric in metrics]
        told = [printed.get(label, {}).get(metric, math.nan) for metric in metrics]
        lines.append(_Line(label, row, view, states, values, told))
    beside = [_teller(suite)] * bool(printed) + ["Δ"] * comparable
    bound = [f"within {suite.tolerance:g}"] * (comparable and suite.tolerance < math.inf)
    head = ["method", "runs", *(each for metric in metrics for each in (metric, *beside)), *bound, *PRICES]
    body = [_cells(line, bool(printed), comparable) for line in lines]
    within = [_within(line, suite.tolerance) for line in lines]
    for line, cells, word in zip(lines, body, within, strict=True):
        cells += [*([word] * len(bound)), *(priced_cells(prices(line.runs)) if line.runs else [""] * len(PRICES))]
    bold = {
        (row, 2 + (1 + len(beside)) * column)
        for column in range(len(metrics))
        for row in _best([line.means[column] for line in lines])
    }
    title = place[0] if place[0] == place[1] else f"{place[0]} to {place[1]}"
    off = [line.label for line, word in zip(lines, within, strict=True) if bound and word == "NO"]
    notes = [*_views(lines), *_warned(suite, off)]
    if printed and not comparable:
        where = " to ".join(dict.fromkeys(_places(suite)[-1]))
        whose = "its" if suite.paper else "published"
        notes.append(f"{_teller(suite)}: {whose} figures on {where}; no difference is taken between data sets")
    return Grid(title, head, body, [*notes, *_made(lines)], frozenset(bold))


def _cells(line: _Line, printed: bool, comparable: bool) -> list[str]:
    """Label, runs, and for each metric what was measured, what was printed and the difference."""
    row, planned = line.row, len(line.states)
    cells = [line.label if row is None or row.method in (line.label, "") else f"{line.label} ({row.method})"]
    cells.append(f"{len(line.runs)}/{planned}" if planned else "")
    said = _said(row, line.states)
    for values, told, off in zip(line.values, line.printed, line.off, strict=True):
        cells.append(cell(values) if values else said)
        said = "" if not values else said  # the reason stands once
        cells += [_figure(told, "{:.1f}")] * printed + [_figure(off, "{:+.1f}")] * comparable
    return cells


def _figure(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


def _teller(suite: Suite) -> str:
    """Who printed the figures beside ours: the head of their column."""
    return "paper" if suite.paper else "expected"


def _within(line: _Line, tolerance: float) -> str:
    """Whether the figures lie as near what was printed as they must; empty where there is none."""
    off = [abs(each) for each in line.off if not math.isnan(each)]
    return "" if not off else "yes" if max(off) <= tolerance else "NO"


def _warned(suite: Suite, off: Sequence[str]) -> list[str]:
    if not off:
        return []
    return [f"OFF BY MORE THAN {suite.tolerance:g}, AND SO THIS HARNESS IS WRONG SOMEWHERE: {'; '.join(off)}"]


def _finished(states: Sequence[State]) -> list[Record]:
    return [state.record for state in states if state.word == DONE and state.record is not None]


def _places(suite: Suite) -> list[Place]:
    return suite.places(suite.datasets)


def _printed(suite: Suite, place: Place) -> dict[str, dict[str, float]]:
    """What was printed of the rows, by the paper or by who expects it: label -> metric -> percent.

    Of a place that the paper has not, its last place's.
    """
    if not suite.paper:
        rows = suite.rows(_places(suite)[-1][0])
        return {row.label: dict(row.expected) for row in rows if row.expected}
    table = paper.read(suite.paper)
    known = [place] if place in _places(suite) else _places(suite)[-1:]
    rows = table[[pair in known for pair in zip(table.train, table.test, strict=True)]]
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
    words = pd.Series([state.word for state in states if state.word != DONE], dtype=str).value_counts()
    return ", ".join(word if len(words) == 1 else f"{count} {word}" for word, count in words.items())


def _best(means: Sequence[float]) -> list[int]:
    known = {row: value for row, value in enumerate(means) if not math.isnan(value)}
    return [row for row, value in known.items() if value == max(known.values())] if len(known) > 1 else []


# What must be one for a table to compare methods and nothing else: its name, and where a record has it.
SHARED: dict[str, Callable[[Record], Any]] = {
    "recipe": lambda record: record["experiment"]["recipe"],
    "precision": lambda record: record["experiment"]["settings"].get("precision"),
    "epochs": lambda record: record["experiment"]["settings"].get("epochs"),
    "backbone": lambda record: record["experiment"]["settings"].get("backbone"),
    "processor": lambda record: record["environment"]["gpu"] or record["environment"]["cpu"],
}


def _views(lines: Sequence[_Line]) -> list[str]:
    """Under which protocol and by which feature the rows stand; which rows, where it is not one for all."""
    views: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        views.setdefault(line.view, []).append(line.label)
    return [
        f"protocol {protocol}; percent; mean ± standard deviation over runs; feature {feature} batch normalisation"
        f"{': ' + '; '.join(labels) if len(views) > 1 else ''}"
        for (protocol, feature), labels in views.items()
    ]


def _made(lines: Sequence[_Line]) -> list[str]:
    """How the runs were made. Mixed is what differs among rows that do not ask for recipes of their own."""
    runs = [run for line in lines for run in line.runs]
    if not runs:
        return []
    parts = []
    for key, value in SHARED.items():
        found = {(line.row and line.row.recipe, str(value(run))) for line in lines for run in line.runs}
        mixed = len(found) > len({recipe for recipe, _ in found})
        parts.append(f"{key} {', '.join(sorted({text for _, text in found}))}{' (MIXED)' * mixed}")
    return [PRICED, "; ".join([drawn(runs), *parts, _code(runs)])]


def _code(runs: Sequence[Record]) -> str:
    """The digests of the code; a baseline's own file is in its digest, so that it is one a baseline that must not differ."""
    each = {(run["experiment"]["method"].partition("+")[0], str(run["code"])[:8]) for run in runs}
    mixed = len(each) > len({baseline for baseline, _ in each})
    return f"code {', '.join(sorted({code for _, code in each}))}{' (MIXED)' * mixed}"


def counted(suite: Suite, choice: Choice, root: Path | None = None) -> list[Grid]:
    """Table 1: what the loader counts of each data set, beside the paper's numbers and those of the files as published."""
    printed = paper.read("table1")
    made = []
    for name, _ in places(suite, choice):
        why = absent(name, root)
        counts = {} if why else _counts(load(name, root=root).table)
        found = definition(name)
        published = _published(found.published)
        ref = printed[printed.method.str.lower().str.replace("-", "") == name]
        told = dict(zip(ref.metric, ref.value, strict=True))
        rows = [[what, *(_number(part.get(what)) for part in (counts, told, published))] for what in COUNTED]
        notes = [f"data set absent: {why}"] if why else found.notes(load(name, root=root).table)
        made.append(Grid(name, ("", "counted", "paper", "published"), rows, notes))
    return made


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


COUNTED = ("identities", "sequences", "frames", "cameras", "train_identities", "test_identities")


def _counts(table: pd.DataFrame) -> dict[str, float]:
    """As Table 1 counts: people without junk and distractors, sequences with them, frames a sequence on average."""
    people = {part: set(rows.pid[rows.pid > 0]) for part, rows in table.groupby("subset")}
    train, test = people.get("train", set()), people.get("query", set()) | people.get("gallery", set())
    return {
        "identities": len(train) + len(test),
        "sequences": len(table),
        "frames": float(table.frames.map(len).mean()),
        "cameras": table.camid.nunique(),
        "train_identities": len(train),
        "test_identities": len(test),
    }


def _published(parts: dict[str, dict[str, int]]) -> dict[str, float]:
    if not parts:
        return {}
    counts: dict[str, float] = {"sequences": sum(part["tracklets"] for part in parts.values())}
    if all("frames" in part for part in parts.values()):
        counts["frames"] = sum(part["frames"] for part in parts.values()) / counts["sequences"]
    counts["cameras"] = max(part["cameras"] for part in parts.values())
    return {**counts, "train_identities": parts["train"]["identities"]}

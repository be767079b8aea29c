"""A suite's table: the paper's layout row by row, what was measured beside what the paper prints, and why a cell is empty."""

from collections.abc import Callable, Sequence
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
        protocol: in place of the data set's first.
        feature: "before" or "after" batch normalisation.
    """
    return [_grid(suite, choice, place, look, protocol, feature) for place in places(suite, choice)]


def _grid(suite: Suite, choice: Choice, place: Place, look: Look, protocol: str | None, feature: str) -> Grid:
    protocol = protocol or definition(place[1]).protocols[0]
    printed = _printed(suite, place)
    ours = {row.label: row for row in suite.rows(place[0])}
    labels = [*dict.fromkeys([*printed, *ours])]
    comparable = bool(printed) and place in _places(suite)
    metrics = [each for each in suite.metrics if not comparable or any(each in row for row in printed.values())]
    head = ["method", "runs"]
    for metric in metrics:
        head += [metric, *(["paper"] if printed else []), *(["Δ"] if comparable else [])]
    head += PRICES
    body, used, measured = [], [], []
    for label in labels:
        row = ours.get(label)
        planned = of_row(row, place, choice) if row else []
        states = look(planned)
        runs = [state.record for state in states if state.word == DONE and state.record is not None]
        used += runs
        values = [_values(runs, metric, row.protocol or protocol if row else protocol, feature) for metric in metrics]
        measured.append([_mean(each) for each in values])
        said = _said(row, states)
        cells = [label if row is None or row.method in (label, "") else f"{label} ({row.method})"]
        cells.append(f"{len(runs)}/{len(planned)}" if planned else "")
        for metric, found, mean in zip(metrics, values, measured[-1], strict=True):
            ref = printed.get(label, {}).get(metric, float("nan"))
            cells.append(cell(found) if found else said)
            said = "" if not found else said  # the reason stands once
            cells += [f"{ref:.1f}" if ref == ref else ""] if printed else []
            if comparable:
                cells.append(f"{mean - ref:+.1f}" if mean is not None and ref == ref else "")
        body.append(cells + (priced_cells(prices(runs)) if runs else [""] * len(PRICES)))
    step = 1 + bool(printed) + comparable
    bold = {(row, 2 + step * column) for column in range(len(metrics)) for row in _best(measured, column)}
    title = place[0] if place[0] == place[1] else f"{place[0]} to {place[1]}"
    return Grid(title, head, body, _notes(suite, used, protocol, feature, bool(printed), comparable), frozenset(bold))


def _places(suite: Suite) -> list[Place]:
    return suite.places(suite.datasets)


def _printed(suite: Suite, place: Place) -> dict[str, dict[str, float]]:
    """The paper's rows for this place: label -> metric -> percent. Of a place that it has not, its first place's."""
    if not suite.paper:
        return {}
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


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _said(row: Row | None, states: Sequence[State]) -> str:
    """Why there is no figure: the states that are not done, and how many of each where they differ."""
    if row is None:
        return "not built here"
    words = pd.Series([state.word for state in states if state.word != DONE], dtype=str).value_counts()
    return ", ".join(word if len(words) == 1 else f"{count} {word}" for word, count in words.items())


def _best(measured: Sequence[Sequence[Any]], column: int) -> list[int]:
    known = {row: values[column] for row, values in enumerate(measured) if values[column] is not None}
    return [row for row, value in known.items() if value == max(known.values())] if len(known) > 1 else []


# What must be one for a table to compare methods and nothing else: its name, and where a record has it.
SHARED: dict[str, Callable[[Record], Any]] = {
    "recipe": lambda record: record["experiment"]["recipe"],
    "precision": lambda record: record["experiment"]["settings"].get("precision"),
    "epochs": lambda record: record["experiment"]["settings"].get("epochs"),
    "backbone": lambda record: record["experiment"]["settings"].get("backbone"),
    "processor": lambda record: record["environment"]["gpu"] or record["environment"]["cpu"],
}


def _notes(
    suite: Suite, runs: Sequence[Record], protocol: str, feature: str, printed: bool, comparable: bool
) -> list[str]:
    notes = [
        f"protocol {protocol}; percent; mean ± standard deviation over runs; feature {feature} batch normalisation"
    ]
    if printed and not comparable:
        where = " to ".join(dict.fromkeys(_places(suite)[-1]))
        notes.append(f"paper: its figures on {where}; no difference is taken between data sets")
    if runs:
        shared = {key: sorted({str(value(run)) for run in runs}) for key, value in SHARED.items()}
        made = [f"{key} {', '.join(found)}{' (MIXED)' * (len(found) > 1)}" for key, found in shared.items()]
        notes += [PRICED, "; ".join([drawn(runs), *made, _code(runs)])]
    return notes


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

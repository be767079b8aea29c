"""A suite's table: the paper's layout row by row, our results next to the published ones, and why a cell is empty."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from benchmarks.data.find import find_dataset, is_drawn
from benchmarks.data.loading import counts_note
from benchmarks.experiments.experiment import DatasetPair
from benchmarks.experiments.methods import needs_attributes
from benchmarks.runs.record import Record
from benchmarks.scheduling.states import DONE, FindStates, State
from benchmarks.suites import controls
from benchmarks.suites.suite import Choice, Row, Suite, dataset_pairs, experiments_of_row, rows_for

from . import paper_numbers
from .grid import Grid, signed
from .noise_floor import noise_floor
from .provenance import (
    COSTS,
    change_notes,
    code_note,
    common_changes,
    cost_cells,
    cost_note,
    data_notes,
    own_experiments,
    pair_title,
    processor_letters,
    recognition_notes,
    repetition_note,
    tuning_notes,
)
from .statistics import of_one_more
from .table import best, cell, mean

NOT_REPRODUCIBLE = "not reproducible from the source"
GAIT = "gait R1"  # the column of the controls on walkers-gait


def grids(
    suite: Suite, choice: Choice, find_states: FindStates, protocol: str | None = None, feature: str = "before"
) -> list[Grid]:
    """A table for each pair of data sets of a suite.

    Args:
        choice: the user's options for the suite.
        find_states: gives the states of planned experiments, in their order.
        protocol: for rows that name none; None is the data set's first.
        feature: "before" or "after" batch normalisation, for rows that name none.
    """
    return [
        grid(suite, pair, measured_rows(suite, choice, pair, find_states, protocol, feature))
        for pair in dataset_pairs(suite, choice)
    ]


@dataclass(frozen=True)
class MeasuredRow:
    """A row of a suite with its measured values.

    Attributes:
        row: None for a published system that is not built.
        view: the protocol and the feature of its results.
        states: of its experiments, over all seeds and splits.
        values: by metric, in percent, one for each finished run that has this view; None if none of its queries has a match.
        published: by metric, in percent; NaN if no result was published.
        doubts: by metric, a caution about the published result, if there is one.
        gait: R1 of its controls on walkers-gait, in percent, one per run; empty if none has run.
    """

    label: str
    row: Row | None
    view: tuple[str, str]
    states: list[State]
    values: dict[str, list[float | None]]
    published: dict[str, float]
    doubts: dict[str, str] = field(default_factory=dict)
    gait: list[float] = field(default_factory=list)

    @property
    def runs(self) -> list[Record]:
        return _finished(self.states)

    @property
    def means(self) -> dict[str, float]:
        """By metric, in percent, over the runs; NaN if nothing was measured."""
        return {metric: mean(values) for metric, values in self.values.items()}

    @property
    def differences(self) -> dict[str, float]:
        """By metric, in points: the mean less the published result; NaN if either is missing, or the row has another trainer."""
        if self.row is not None and not self.row.reproduces:
            return dict.fromkeys(self.values, math.nan)
        return {metric: mean - self.published[metric] for metric, mean in self.means.items()}


def measured_rows(
    suite: Suite,
    choice: Choice,
    pair: DatasetPair,
    find_states: FindStates,
    protocol: str | None = None,
    feature: str = "before",
) -> list[MeasuredRow]:
    """The rows of a suite's table on one pair of data sets; the arguments are those of `grids`."""
    protocols = find_dataset(pair[1]).protocols
    protocol = protocol or protocols[0]
    published, notes = _published(suite, pair), _notes_on_figures(suite, pair)
    rows = {row.label: row for row in rows_for(suite, pair, choice)}
    planned = {(label, ""): experiments_of_row(row, pair, choice) for label, row in rows.items()}
    if suite.groups:
        planned |= {(label, GAIT): controls.on_gait(row, pair.trained_on, choice) for label, row in rows.items()}
    all_states = iter(find_states([each for row in planned.values() for each in row]))
    states = {key: list(islice(all_states, len(row))) for key, row in planned.items()}
    metrics = [
        metric for metric in suite.metrics if not published or any(metric in figures for figures in published.values())
    ]
    measured = []
    for label in _in_order([*published], [*rows]):
        row, row_states = rows.get(label), states.get((label, ""), [])
        gait = [controls.r1(record) for record in _finished(states.get((label, GAIT), []))]
        # A row may name the protocol of its published code, which this data set may lack.
        view = (
            row.protocol if row and row.protocol in protocols else protocol,
            row.feature if row and row.feature else feature,
        )
        values = {metric: _values(_finished(row_states), metric, *view) for metric in metrics}
        label_of_figures = row.published_as if row and row.published_as else label
        figures = {metric: published.get(label_of_figures, {}).get(metric, math.nan) for metric in metrics}
        doubts = {metric: text for metric, text in notes.get(label_of_figures, {}).items() if metric in metrics}
        measured.append(MeasuredRow(label, row, view, row_states, values, figures, doubts, gait))
    return measured


def _in_order(published: list[str], labels: Sequence[str]) -> list[str]:
    """Published rows in their order; each other row comes after the one that precedes it in the suite."""
    order = published.copy()
    for before, label in pairwise(["", *labels]):
        if label not in order:
            order.insert(order.index(before) + 1 if before else 0, label)
    return order


def grid(suite: Suite, pair: DatasetPair, rows: Sequence[MeasuredRow]) -> Grid:
    """The rows as a table, with notes on how its results were made."""
    published = bool(_published(suite, pair))
    metrics = list(rows[0].values) if rows else []
    beside = [_source(suite), "Δ"] * published
    bound = ["within seeds"] * (published and suite.calibrates)
    trainer = ["trainer"] * bool(suite.groups)
    gait = [GAIT] * any(row.gait for row in rows)
    head = [
        "method",
        *trainer,
        "runs",
        *(each for metric in metrics for each in (metric, *beside)),
        *bound,
        *gait,
        *COSTS,
    ]
    letters = processor_letters(run for row in rows for run in row.runs)
    body = [
        [
            *_cells(suite, row, published, _needs(row, pair)),
            *([_agreement(row)] * len(bound)),
            *([cell(row.gait) if row.gait else ""] * len(gait)),
            *(cost_cells(row.runs, letters) if row.runs else [""] * len(COSTS)),
        ]
        for row in rows
    ]
    bold = {
        (number, 2 + len(trainer) + (1 + len(beside)) * column)
        for column, metric in enumerate(metrics)
        for number in best([row.means[metric] for row in rows])
    }
    labels = [row.label for row in rows]
    headings = {
        min(labels.index(label) for label in group if label in labels): heading
        for heading, group in suite.groups.items()
        if set(group) & set(labels)
    }
    notes = [
        *(data_notes(runs) if (runs := [run for row in rows for run in row.runs]) else _notes_without_runs(pair)),
        *_view_notes(rows),
        *_published_notes(suite, pair, rows),
        *_gait_notes(rows),
        *recognition_notes((row.label, row.runs) for row in rows),
        *suite.notes,
        *_provenance_notes(rows, letters),
    ]
    return Grid(pair_title(pair, notes), head, body, notes, frozenset(bold), headings)


def _needs(row: MeasuredRow, pair: DatasetPair) -> str:
    """What a row needs that the data set may lack, to append to the reason for an empty cell; "" if it needs nothing."""
    lacking = row.row and needs_attributes(row.row.method) and not is_drawn(pair.trained_on)
    return " (needs attributes of its people)" if lacking else ""


def _cells(suite: Suite, row: MeasuredRow, published: bool, needs: str) -> list[str]:
    """Label, runs, and for each metric what was measured, what was published and the difference."""
    method = row.row.method if row.row else ""
    label = f"after {row.label}" if row.label in suite.after else row.label
    cells = [
        label if method in (row.label, "") else f"{label} ({method})",
        *[_trainer(row.row)] * bool(suite.groups),
        f"{len(row.runs)}/{len(row.states)}" if row.states else "",
    ]
    reason = (
        _why_empty(row.states) + needs if row.row else f"not built: {suite.not_built.get(row.label, 'no reason given')}"
    )
    for metric, values in row.values.items():
        cells.append(cell(values) if values else reason)
        reason = "" if not values else reason  # the reason is given once per row
        cells += [_figure(row.published[metric], "{:.1f}".format) + "*" * (metric in row.doubts)] * published
        cells += [_figure(row.differences[metric], signed)] * published
    return cells


def _trainer(row: Row | None) -> str:
    """The cell that names a row's trainer: the one that the rows of the table share, or the row's own recipe."""
    return "" if row is None else f"own: {row.recipe}" if row.recipe else "shared"


def _figure(value: float, form: Callable[[float], str]) -> str:
    return "" if math.isnan(value) else form(value)


def _source(suite: Suite) -> str:
    """The heading of the column with the published results."""
    return "paper" if suite.paper else "expected"


def _agreement(row: MeasuredRow) -> str:
    """Whether the published results could come from one more seed, and how far such a result may be from our mean.

    Empty if nothing was measured or published.
    """
    differences = {metric: each for metric, each in row.differences.items() if not math.isnan(each)}
    if not differences:
        return ""
    if row.row and row.row.not_reproducible:
        return NOT_REPRODUCIBLE
    allowed = {metric: of_one_more([each for each in row.values[metric] if each is not None]) for metric in differences}
    if not all(map(math.isfinite, allowed.values())):
        return "two seeds at least"
    limits = ", ".join(f"± {limit:.1f} {metric}" for metric, limit in allowed.items())
    return f"{'yes' if all(abs(each) <= allowed[metric] for metric, each in differences.items()) else 'NO'}: {limits}"


def _finished(states: Sequence[State]) -> list[Record]:
    return [state.record for state in states if state.name == DONE and state.record is not None]


def _published(suite: Suite, pair: DatasetPair) -> dict[str, dict[str, float]]:
    """What the paper prints on this pair of data sets, or what the suite expects there: label -> metric -> percent."""
    if not suite.paper:
        return {row.label: dict(row.expected) for row in _expected(suite, pair)}
    numbers = paper_numbers.at(suite.paper, pair)
    figures: dict[str, dict[str, float]] = {}
    for label, metric, value in zip(numbers.method, numbers.metric, numbers.value, strict=True):
        figures.setdefault(str(label), {})[str(metric)] = float(value)
    return figures


def _notes_on_figures(suite: Suite, pair: DatasetPair) -> dict[str, dict[str, str]]:
    """Cautions about published results: label -> metric -> note."""
    if not suite.paper:
        doubted = [row for row in _expected(suite, pair) if row.not_reproducible]
        return {
            row.label: dict.fromkeys(row.expected, f"{NOT_REPRODUCIBLE}: {row.not_reproducible}") for row in doubted
        }
    if not suite.groups:
        return {}
    numbers = paper_numbers.at(suite.paper, pair)
    notes: dict[str, dict[str, str]] = {}
    for label, metric, note in zip(numbers.method, numbers.metric, numbers.note, strict=True):
        if note:
            notes.setdefault(str(label), {})[str(metric)] = str(note)
    return notes


def _expected(suite: Suite, pair: DatasetPair) -> list[Row]:
    """The rows whose results on this pair of data sets are known."""
    return [row for row in suite.rows(pair.trained_on) if row.expected] if pair in suite.pairs(suite.datasets) else []


def _values(runs: Sequence[Record], metric: str, protocol: str, feature: str) -> list[float | None]:
    rows = [run.find_metrics(protocol, feature) for run in runs]
    return [row.percent(metric) for row in rows if row]


def _why_empty(states: Sequence[State]) -> str:
    """Why there is no result: the states other than done, with counts if there are several."""
    counts = Counter(state.name for state in states if state.name != DONE)
    if not counts:
        return "protocol not computed"
    return ", ".join(word if len(counts) == 1 else f"{count} {word}" for word, count in counts.most_common())


def _view_notes(rows: Sequence[MeasuredRow]) -> list[str]:
    """The protocol and feature of the results; if rows differ, which rows use which."""
    views: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        views.setdefault(row.view, []).append(row.label)
    return [
        f"protocol {protocol}; percent; mean ± standard deviation over runs; feature {feature} batch normalisation"
        f"{': ' + '; '.join(labels) if len(views) > 1 else ''}"
        for (protocol, feature), labels in views.items()
    ]


def _published_notes(suite: Suite, pair: DatasetPair, rows: Sequence[MeasuredRow]) -> list[str]:
    """Which results are further off than seeds explain, and which published ones are missing or doubtful."""
    published, source = bool(_published(suite, pair)), _source(suite)
    notes = []
    if not published and (suite.paper or suite.calibrates):
        notes.append(f"{source}: no figures for {' to '.join(dict.fromkeys(pair))}")
    if published and suite.calibrates:
        off = [row.label for row in rows if _agreement(row).startswith("NO")]
        if off:
            notes.append(f"FURTHER OFF THAN SEEDS EXPLAIN, WHICH POINTS TO AN ERROR IN THIS HARNESS: {'; '.join(off)}")
        notes.append("within seeds: whether the published figure lies in the 95% prediction interval of one more seed")
    if published and any(row.row and not row.row.reproduces for row in rows):
        notes.append("Δ: only where the trainer is that of the published figures")
    if published and any(math.isnan(figure) for row in rows for figure in row.published.values()):
        notes.append(f"{source}: empty where no figure was published")
    doubts: dict[str, list[str]] = {}
    for row in rows:
        for text in dict.fromkeys(row.doubts.values()):
            doubts.setdefault(text, []).append(row.label)
    notes += [f"* {text}: {'; '.join(labels)}" for text, labels in doubts.items()]
    if suite.after:
        notes.append(
            "after: the sources are not detailed enough to rebuild exactly that system; the notes say what is known"
        )
    return notes


def _gait_notes(rows: Sequence[MeasuredRow]) -> list[str]:
    """What the controls on walkers-gait say: which systems read order and do not tell people apart by it."""
    if not any(row.gait for row in rows):
        return []
    tested = [(row.label, row.row.method, mean(row.gait)) for row in rows if row.row and row.gait]
    blind = [label for label, method, r1 in tested if controls.sees_no_order(method, r1)]
    notes = [
        f"{GAIT}: R1 on {controls.DATASET}, where only order tells people apart, with the same settings without AFA; "
        f"{controls.CHANCE:.1f} is chance"
    ]
    return notes + [f"read the order of frames but do not tell people apart by it: {', '.join(blind)}"] * bool(blind)


# What all rows of a table must share, so that only methods are compared.
SHARED: dict[str, Callable[[Record], Any]] = {
    "recipe": lambda record: record.experiment.recipe,
    "precision": lambda record: record.experiment.settings.get("precision"),
    "epochs": lambda record: record.experiment.settings.get("epochs"),
    "backbone": lambda record: record.experiment.settings.get("backbone"),
    "frames": lambda record: "{}x{}".format(*map(record.experiment.settings.get, ("height", "width"))),
    "processor": lambda record: record.environment.processor,
}


def _provenance_notes(rows: Sequence[MeasuredRow], letters: dict[str, str]) -> list[str]:
    """How the runs were made. Values that differ are flagged as mixed, except between rows with recipes of their own."""
    runs = [run for row in rows for run in row.runs]
    if not runs:
        return []
    parts = []
    for key, value in SHARED.items():
        found = {(row.row and row.row.recipe, str(value(run))) for row in rows for run in row.runs}
        mixed = len(found) > len({recipe for recipe, _ in found})
        parts.append(f"{key} {', '.join(sorted({text for _, text in found}))}{' (MIXED)' * mixed}")
    return [
        cost_note(letters),
        "; ".join([repetition_note(runs), *parts, code_note(runs)]),
        *change_notes(common_changes(own_experiments(runs))),
        *tuning_notes((row.label, row.runs) for row in rows),
        *filter(None, [noise_floor(runs)]),
    ]


def _notes_without_runs(pair: DatasetPair) -> list[str]:
    """The notes on the data if there is no record with such notes yet: whether the counts are the published ones."""
    return [f"{name}: {note}" for name in dict.fromkeys(pair) if (note := counts_note(name))]

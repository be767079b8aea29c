"""Finished runs as a table: a row for each method, with R1 to R20, mAP and cost, over seeds and splits."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import ATTACHED, ATTACHMENTS, split_method
from benchmarks.experiments.settings import SEARCHED, changed_from_recipe
from benchmarks.runs.record import RANKS, Metrics, Record
from benchmarks.runs.staleness import stale_reasons

from . import grid
from .data_versions import Versions, data_versions
from .grid import Grid
from .provenance import (
    COSTS,
    change_notes,
    code_note,
    common_changes,
    common_settings,
    cost_cells,
    cost_note,
    data_notes,
    flag_mixed,
    list_settings,
    order_notes,
    order_settings,
    own_experiments,
    pair_title,
    processor_letters,
    recognition_notes,
    repetition_note,
    tuning_notes,
    tuning_trials,
)

FEATURES = ("before", "after")
COLUMNS = (*(f"R{rank}" for rank in RANKS), "mAP")
HEAD = ("method", "runs", *COLUMNS, *COSTS)


@dataclass(frozen=True)
class MethodRow:
    """One method under one set of settings, with all its seeds and splits.

    Attributes:
        values: by metric, in percent, one per run (None where no query has a match).
        stale: why the runs are not current; empty if they are.
    """

    label: str
    runs: list[Record]
    values: dict[str, list[float | None]]
    stale: str


@dataclass(frozen=True)
class Table:
    """The results on one pair of data sets under one protocol."""

    title: str
    rows: list[MethodRow]
    notes: list[str]

    @property
    def letters(self) -> dict[str, str]:
        """As `processor_letters` gives them."""
        return processor_letters(run for row in self.rows for run in row.runs)


class _Context(NamedTuple):
    """What all records of a table have in common, and which results it shows."""

    protocol: str
    feature: str
    settings: dict[str, Any]  # shared by our runs
    changes: dict[str, Any]  # changes from the recipe that our runs share
    ordered: dict[str, Any]  # settings of our recipe for baselines that read order
    versions: Callable[[Experiment], Versions]  # of what was read


def tables(
    records: Sequence[Record], protocol: str | None, digests: dict[str, set[str]] | None, feature: str = "before"
) -> list[Table]:
    """A table for each pair of data sets (trained on, tested on) among the records.

    Args:
        protocol: the one to show; None is the data set's default, the first in its records.
        digests: of the data on this machine, as `stale_reasons` takes them; None: no row is marked as stale.
        feature: "before" or "after" batch normalisation.
    """
    by_pair: dict[DatasetPair, list[Record]] = {}
    for record in records:
        by_pair.setdefault(record.experiment.datasets, []).append(record)
    made = [_table(pair, each, protocol, digests, feature) for pair, each in sorted(by_pair.items())]
    return [table for table in made if table.rows]


def _table(
    pair: DatasetPair,
    records: list[Record],
    protocol: str | None,
    digests: dict[str, set[str]] | None,
    feature: str,
) -> Table:
    protocol = protocol or _default_protocol(records, feature)
    ours = own_experiments(records)
    shared = common_settings(ours), common_changes(ours), order_settings(ours)
    context = _Context(protocol, feature, *shared, data_versions(ours))
    cached: dict[tuple[str, str, int], tuple[str, str]] = {}
    rows: dict[tuple[str, ...], list[tuple[Record, Metrics]]] = {}
    for record in records:
        metrics = record.find_metrics(protocol, feature)
        if metrics is not None:
            reasons = stale_reasons(record, digests) if digests is not None else []
            rows.setdefault(_row_key(record.experiment, context, cached, reasons), []).append((record, metrics))
    rows = _tell_features_apart(rows)
    repeated = Counter(label for label, *_ in rows)
    made = []
    for (label, _, reason, *_), found in rows.items():
        if repeated[label] > 1 and label.endswith(")"):
            # External features of other data, or other tuned settings: the hash of a run tells the rows apart.
            label = f"{label.removesuffix(')')}, {found[0][0].experiment.run_hash[:10]})"
        values = {column: [metrics.percent(column) for _, metrics in found] for column in COLUMNS}
        made.append(MethodRow(label, [record for record, _ in found], values, reason))
    made.sort(key=lambda row: row.label)
    return Table(pair_title(pair, data_notes(records)), made, _notes(made, context))


def _tell_features_apart(
    rows: Mapping[tuple[str, ...], list[tuple[Record, Metrics]]],
) -> dict[tuple[str, ...], list[tuple[Record, Metrics]]]:
    """The rows, with one for each file of external features where several have one seed and split: they are no repetitions."""
    apart: dict[tuple[str, ...], list[tuple[Record, Metrics]]] = {}
    for key, found in rows.items():
        repetitions = {(record.experiment.seed, record.experiment.split) for record, _ in found}
        for record, metrics in found:
            alone = record.experiment.external and len(repetitions) < len(found)
            apart.setdefault((*key, record.experiment.weights) if alone else key, []).append((record, metrics))
    return apart


def _default_protocol(records: Sequence[Record], feature: str) -> str:
    """The most frequent first protocol among our runs: external features have all protocols, whatever the data set."""
    ours = [record for record in records if not record.experiment.external] or records
    first = Counter(record.first_protocol for record in ours if record.find_metrics(record.first_protocol, feature))
    return first.most_common(1)[0][0] if first else records[0].first_protocol


def _row_key(
    experiment: Experiment,
    context: _Context,
    cached: dict[tuple[str, str, int], tuple[str, str]],
    reasons: Sequence[str],
) -> tuple[str, ...]:
    """The label, and everything that the runs of one row must share.

    Args:
        cached: the label and the differing settings, by recipe, method and settings object; filled here. Thousands of runs from
            an index share a settings object.
    """
    shared = experiment.recipe, experiment.method, id(experiment.settings)
    if shared not in cached:
        different = {key: value for key, value in experiment.settings.items() if key not in context.settings}
        cached[shared] = _label(experiment, different, context), json.dumps(different, sort_keys=True)
    return (*cached[shared], "; ".join(reasons), *context.versions(experiment))


def _label(experiment: Experiment, different: Mapping[str, Any], context: _Context) -> str:
    """The method, and the settings by which this row differs from other rows or from its recipe.

    Settings that the method's name implies are left out, and so is what notes below the table list: the changes that all share,
    and the recipe's settings for baselines that read order.
    """
    method, settings = experiment.method, experiment.settings
    if experiment.external:
        metric = settings.get("given", settings.get("metric", "euclidean"))
        return f"{method} (external{'' if metric == 'euclidean' else f', {metric}'})"
    changed = changed_from_recipe(experiment.recipe, method, settings)
    if changed is not None:  # the settings of a baseline's own are shown where they were changed
        different = {key: value for key, value in different.items() if "." not in key}
    else:  # not one of our recipes: only the settings that the name implies are known
        implied = ATTACHMENTS[split_method(method)[1]]
        changed = {key: value for key, value in different.items() if key in ATTACHED and implied.get(key) != value}
    noted = (*ATTACHED, *context.ordered)
    shown = {key: value for key, value in different.items() if key not in noted} | changed
    keys, words = set(shown) - set(context.changes) - {"tuning_trials"}, []
    if tuning_trials(settings):  # a note below the table lists the chosen settings
        keys, words = keys - set(SEARCHED), ["tuned"]
    words += [list_settings(shown, keys)] if keys else []
    return f"{method} ({', '.join(words)})" if words else method


def _notes(rows: Sequence[MethodRow], context: _Context) -> list[str]:
    runs = [run for row in rows for run in row.runs]
    if not runs:
        return []
    recipes = flag_mixed(run.experiment.recipe for run in runs)
    precisions = flag_mixed(str(run.experiment.settings.get("precision", "as given")) for run in runs)
    processors = flag_mixed(run.environment.processor for run in runs)
    notes = [
        *data_notes(runs),
        *recognition_notes((row.label, row.runs) for row in rows),
        f"protocol {context.protocol}; percent; mean ± standard deviation over runs; "
        f"feature {context.feature} batch normalisation",
        cost_note(processor_letters(runs)),
        f"recipe {recipes}; {repetition_note(runs)}; {precisions}; {processors}; {code_note(runs)}",
    ]
    settings = context.settings
    if {"backbone", "height", "width", "epochs", "weights"} <= settings.keys():
        clips = f"clips of {settings['clip_frames']}, " if "clip_frames" in settings else ""
        notes.append(
            f"backbone {settings['backbone']} (weights {settings['weights']}), {settings['height']}x{settings['width']}, "
            f"{clips}{settings['epochs']} epoch{'' if settings['epochs'] == 1 else 's'}"
        )
    notes += order_notes(context.ordered)
    notes += change_notes(context.changes)
    notes += tuning_notes((row.label, row.runs) for row in rows)
    shown = (run.find_metrics(context.protocol, context.feature) for run in runs)
    unmatched = {metrics.unmatched for metrics in shown if metrics}
    if unmatched != {0}:
        notes.append(f"queries without a match, left out: {', '.join(map(str, sorted(unmatched)))}")
    return notes + sorted({f"* stale: {row.stale}" for row in rows if row.stale})


def best(means: Sequence[float]) -> list[int]:
    """The indices of the highest figures, rounded to a tenth as printed. NaN is ignored, and a single figure is not best."""
    known = {row: round(value, 1) for row, value in enumerate(means) if not math.isnan(value)}
    return [row for row, value in known.items() if value == max(known.values())] if len(known) > 1 else []


def mean(values: Iterable[float | None]) -> float:
    """The mean over the runs that have a figure; NaN if none has."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def cell(values: Sequence[float | None]) -> str:
    """`83.1 ± 0.4`, or `83.1` for a single run; a dash where no query has a match."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    return f"{mean(known):.1f}{spread}"


def page(made: Sequence[Table], style: str) -> str:
    """Tables as one text, in one of `grid.STYLES`."""
    return grid.page([Grid(table.title, HEAD, _body(table), table.notes) for table in made], style)


def _body(table: Table) -> list[list[str]]:
    letters = table.letters
    return [
        [
            row.label + ("*" if row.stale else ""),
            str(len(row.runs)),
            *(cell(row.values[column]) for column in COLUMNS),
            *cost_cells(row.runs, letters),
        ]
        for row in table.rows
    ]

"""One record, and the counts of one data set, as text for a terminal."""

from collections.abc import Mapping

import pandas as pd
from tabulate import tabulate

from benchmarks.data.dataset import Dataset
from benchmarks.data.table import statistics
from benchmarks.experiments.recipe_files import ordered_settings
from benchmarks.runs.record import RANKS, Record

from .provenance import data_notes, recognition_notes
from .table import cell

ITEMS = dict.fromkeys(("fit", "evaluate", "recognise"), "tracklets")  # of a phase; of the others, frames


def describe(record: Record, stale: list[str]) -> str:
    """Describe a run: its experiment, results, cost and environment.

    Args:
        stale: why it is not current.
    """
    experiment, environment = record.experiment, record.environment
    datasets = experiment.dataset
    if experiment.test != experiment.dataset:
        datasets = f"{experiment.dataset}, evaluated on {experiment.test}"
    lines = [
        record.name,
        f"{experiment.method} on {datasets}, seed {experiment.seed}, split {experiment.split}, recipe {experiment.recipe}",
    ]
    lines += [*data_notes([record]), *recognition_notes([(record.experiment.method, [record])])]
    lines += [f"STALE: {reason}" for reason in stale]
    lines += ["", _results(record), ""]
    if record.recognised:
        shares = {
            name: f"{100 * each.accuracy:.1f} ({100 * each.majority:.1f})" for name, each in record.recognised.items()
        }
        lines.append(_pairs("attributes recognised, % of the queries (always the most frequent value)", shares))
    lines.append(_pairs("settings", experiment.settings))
    if ordered := ordered_settings(experiment.recipe, experiment.method):
        lines.append(_pairs("by the recipe's [ordered], as the baseline reads order", ordered))
    if cost := record.cost:
        lines.append(
            f"cost: {cost.parameters / 1e6:.2f} M parameters, {cost.multiply_adds / 1e9:.3f} G multiply-adds per frame"
        )
    lines += [f"{name}: {phase.text} {ITEMS.get(name, 'frames')}/s" for name, phase in record.phases.items()]
    peaks = (f"{kind} {size / 2**30:.2f} GiB" for kind, size in record.peak_memory.items())
    lines.append(f"peak memory: {', '.join(peaks)}")
    lines += [f"{field}: {getattr(experiment, field)[:16]}" for field in ("data", "test_data", "weights")]
    lines.append(f"code: {record.code[:16]}")
    lines.append(f"made {record.finished.isoformat()} by {environment.commit}")
    lines.append(_pairs("on", environment.machine))
    lines.append(_pairs("packages", environment.packages))
    return "\n".join(lines)


def _results(record: Record) -> str:
    metrics = ["mAP", *(f"R{rank}" for rank in RANKS)]
    rows = [
        [
            row.protocol,
            row.feature,
            *(cell([row.percent(metric)]) for metric in metrics),
            row.queries,
            row.unmatched,
        ]
        for row in record.metrics
    ]
    return tabulate(rows, ["protocol", "batch norm", *metrics, "queries", "unmatched"], disable_numparse=True)


def counts(table: pd.DataFrame, dataset: Dataset, split: int = 0) -> str:
    """The counts of each subset, as text. Where the data set has several splits, it says which one this is."""
    counted = statistics(table)
    keys = list(next(iter(counted.values())))
    rows = [[subset, *(values[key] for key in keys)] for subset, values in counted.items()]
    text = tabulate(rows, ["subset", *keys])
    if dataset.splits == 1:
        return text
    return f"{text}\nsplit {split} of 0 to {dataset.splits - 1}; `bench data stats NAME --split K` shows another"


def _pairs(title: str, values: Mapping[str, object]) -> str:
    return f"{title}: " + ", ".join(f"{key} {value}" for key, value in values.items())

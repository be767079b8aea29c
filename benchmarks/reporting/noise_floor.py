"""The noise floor: how far apart rows are by chance whose settings differ, but whose results are equal in exact arithmetic."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.experiments.code_digest import same_numbers
from benchmarks.experiments.methods import baseline
from benchmarks.runs.record import Record
from benchmarks.suites.claims import METRICS

from .data_versions import Versions, data_versions

# The noise changes frames, and these classifications read the coherence alone, or nothing.
UNMOVED_BY_NOISE = ("pooled", "none")
OF_THE_NOISE = ("sigma", "target", "granularity")


def noise_floor(records: Sequence[Record]) -> str | None:
    """A line with the largest difference between two such rows' means, and runs; None if there are none.

    Their runs round differently, and training makes much of that: a difference between two methods on the same seeds is worth
    noticing only beyond this.
    """
    largest, single, pairs = dict.fromkeys(METRICS, 0.0), dict.fromkeys(METRICS, 0.0), 0
    for one, other in _equal_rows(records):
        seeds = sorted({*one} & {*other})
        if not seeds:
            continue
        pairs += 1
        for metric in METRICS:
            differences = np.array([one[seed][metric] - other[seed][metric] for seed in seeds])
            largest[metric] = max(largest[metric], abs(float(differences.mean())))
            single[metric] = max(single[metric], float(abs(differences).max()))
    if not pairs:
        return None
    apart, of_runs = (
        " and ".join(f"{value:.1f} points of {metric}" for metric, value in each.items()) for each in (largest, single)
    )
    rows = f"{pairs} pairs of rows" if pairs > 1 else "two rows"
    return (
        f"noise floor: {rows} that differ only in noise that the loss does not read lie up to {apart} apart; "
        f"single runs of one seed {of_runs}"
    )


Row = dict[tuple[int, int], dict[str, float]]  # figures in percent, by seed and split


def _equal_rows(records: Sequence[Record]) -> list[tuple[Row, Row]]:
    """Pairs of rows with other settings that are equal in exact arithmetic."""
    groups: dict[str, dict[str, Row]] = {}
    versions = data_versions(record.experiment for record in records)
    for record in records:
        experiment, metrics = record.experiment, record.find_metrics(record.first_protocol, "before")
        if metrics is None or experiment.external or experiment.settings.get("classification") not in UNMOVED_BY_NOISE:
            continue
        rows = groups.setdefault(_read_by_loss(record, versions(experiment)), {})
        row = rows.setdefault(json.dumps([experiment.settings.get(key) for key in OF_THE_NOISE]), {})
        percents = [metrics.percent(metric) for metric in METRICS]
        known = [each for each in percents if each is not None]
        if len(known) == len(METRICS):
            row[experiment.seed, experiment.split] = dict(zip(METRICS, known, strict=True))
    return [pair for rows in groups.values() for pair in combinations(rows.values(), 2)]


def _read_by_loss(record: Record, versions: Versions) -> str:
    """A text that is equal for runs that exact arithmetic does not tell apart."""
    experiment = record.experiment
    settings = {key: value for key, value in experiment.settings.items() if key not in OF_THE_NOISE}
    parts: list[Any] = [
        baseline(experiment.method),
        settings,
        *experiment.datasets,
        versions,
        same_numbers(record.code),
    ]
    return json.dumps([*parts, record.environment.processor], sort_keys=True)

"""Curves of all runs, grouped by the rows of the tables: CMC curves and training curves."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.reporting.provenance import data_notes
from benchmarks.reporting.query_results import query_matrix, repetition
from benchmarks.reporting.statistics import Interval
from benchmarks.reporting.table import tables
from benchmarks.runs.finished import FinishedRun

from .figure import LEVEL, MOST_LINES, Figure, Line, Panel, line, lines_left_out
from .series import mean

RANKS = 20  # of a CMC curve
NOT_A_TERM = {"epoch", "iteration", "lr", "means_of"}
VALIDATION = "validation_"  # how the names of metrics on held-out identities begin


def cmc(runs: Sequence[FinishedRun], protocol: str | None = None) -> Figure:
    """Share of the queries with a hit among the first k, up to k = 20: a panel per data set, a line per method."""
    panels, notes, hidden = [], [], 0
    for title, groups in _groups(runs, protocol):
        lines = [curve for label, found in groups if (curve := _cmc_line(label, found, protocol))]
        lines.sort(key=lambda curve: -curve.y[0])
        hidden += len(lines[MOST_LINES:])
        empty = "" if lines else "these runs have no per-query results"
        panels.append(Panel(title, "rank k", "queries matched by rank k, %", lines[:MOST_LINES], empty=empty))
        notes.append(f"{title}: protocol {protocol or groups[0][1][0].record.first_protocol}")
    panels = panels or [Panel("", "rank k", "queries matched by rank k, %", empty="no finished runs")]
    notes += data_notes(run.record for run in runs)
    return Figure("cmc", "Cumulative match", panels, [*notes, f"Bands: {LEVEL}.", *lines_left_out(hidden)])


def _cmc_line(label: str, runs: Sequence[FinishedRun], protocol: str | None) -> Line | None:
    first, pids = query_matrix(runs, "first_hit_rank", protocol)
    if not first.size:
        return None
    ranks = list(range(1, RANKS + 1))
    points: list[Interval | None] = []
    for k in ranks:
        new = not points or (first == k).any()  # otherwise the point is that of the rank before
        points.append(mean(np.where(np.isnan(first), np.nan, first <= k), pids, runs) if new else points[-1])
    return line(label, ranks, points)


def training(runs: Sequence[FinishedRun]) -> Figure:
    """The loss terms and validations by epoch, a panel for each: the mean over seeds with its interval."""
    tabled = _groups(runs, None)
    several = len({title for title, _ in tabled}) > 1
    grouped = [
        (f"{label} on {title}" if several else label, found) for title, groups in tabled for label, found in groups
    ]
    lines: dict[str, list[Line]] = {}
    for label, found in grouped:
        curves = [curve.set_index("epoch") for run in found if not (curve := run.curves()).empty]
        for term in dict.fromkeys(term for curve in curves for term in curve.columns if term not in NOT_A_TERM):
            scale = 100 if term.startswith(VALIDATION) else 1
            values = [(scale * curve[term].dropna()).to_dict() for curve in curves if term in curve]
            epochs = sorted(set(values[0]).intersection(*values))
            seeds = np.array([[value[epoch] for epoch in epochs] for value in values])
            half = (
                stats.sem(seeds) * stats.t.isf(0.025, len(seeds) - 1)
                if len(seeds) > 1 and repetition(found)[0] == "seed"
                else np.full(len(epochs), np.nan)
            )
            middle = seeds.mean(0)
            parts = (part.tolist() for part in (middle, middle - half, middle + half))
            lines.setdefault(term, []).append(Line(label, epochs, *parts))
    hidden = max((len(of_term[MOST_LINES:]) for of_term in lines.values()), default=0)
    panels = [
        Panel(
            term.replace("_", " "),
            "epoch",
            "held-out identities, %" if term.startswith(VALIDATION) else "mean over the epoch",
            of_term[:MOST_LINES],
        )
        for term, of_term in lines.items()
    ]
    if not panels:
        reason = "no curves: exported records have none, nor have runs of 0 epochs or of features from other code"
        panels = [Panel("", "epoch", "loss", empty=reason)]
    return Figure(
        "training",
        "Training",
        panels,
        ["Bands: 95% interval of the mean over seeds, by Student's t; none over splits.", *lines_left_out(hidden)],
    )


def _groups(runs: Sequence[FinishedRun], protocol: str | None) -> list[tuple[str, list[tuple[str, list[FinishedRun]]]]]:
    """The runs by the rows of the tables: (data set, [(label, the seeds and splits of one method)])."""
    by_name = {run.name: run for run in runs}
    made = tables([run.record for run in runs], protocol, None)
    return [
        (each.title, [(row.label, [by_name[record.name] for record in row.runs]) for row in each.rows]) for each in made
    ]

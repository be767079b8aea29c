"""Compare two methods or runs of any kind: the difference, the people that it helps, and the queries that differ most.

A comparison is paired, by seed and split and by query. It was not fixed beforehand, so it confirms nothing by itself.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.experiments.code_digest import same_numbers
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import ATTACHED, baseline
from benchmarks.experiments.settings import DEFAULTS_OF_NEW_SETTINGS, changed_from_recipe
from benchmarks.runs.find import runs_named
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites.claims import METRIC, Arm, Claim

from .data_versions import Versions, data_versions
from .grid import Grid, signed, span
from .pairing import Repetitions, complete
from .provenance import pair_title
from .verdict import JudgedClaim, measure

QUERIES = 5  # that differ most, in each direction
SMALLEST_P = 0.0001  # that is printed as a number


@dataclass(frozen=True)
class Comparison:
    """Two sides on one pair of data sets.

    Attributes:
        names: of the two sides.
        sides: their runs, paired by seed and split; or one run each.
        effect: the first side less the second, in mAP.
        identities: mean difference of average precision of each test person, by (split, pid).
        queries: the same of each query, by (split, query).
    """

    names: tuple[str, str]
    datasets: DatasetPair
    sides: tuple[list[FinishedRun], list[FinishedRun]]
    effect: JudgedClaim
    identities: pd.Series
    queries: pd.Series

    def most_different(self) -> list[tuple[int, str]]:
        """The splits and names of the queries that differ most: first those for which the first side is better."""
        order = list(self.queries.index)
        return list(dict.fromkeys([*order[::-1][:QUERIES], *order[:QUERIES]]))

    def most_different_by_split(self) -> dict[int, list[str]]:
        """The names of these queries, by split."""
        found: dict[int, list[str]] = {}
        for split, query in self.most_different():
            found.setdefault(split, []).append(query)
        return found


def compare(
    one: str, other: str, runs: Sequence[FinishedRun], dataset: str | None = None, protocol: str | None = None
) -> list[Comparison]:
    """One comparison for each pair of data sets on which both sides ran.

    Args:
        one, other: each a method, or a run by the beginning or end of its name.
        dataset: only tests on this data set.
        protocol: None is the data set's first.

    Raises:
        UserError: no such method or run, two sides that are one, or sides that have nothing in common.
    """
    chosen = [runs_named(name, runs) for name in (one, other)]
    tested = [[run for run in side if dataset in (None, run.experiment.test)] for side in chosen]
    versions = data_versions(run.experiment for side in tested for run in side)
    by_place: list[dict[tuple[DatasetPair, str], list[FinishedRun]]] = [{}, {}]
    for side, places in zip(tested, by_place, strict=True):
        for run in side:
            places.setdefault((run.experiment.datasets, versions(run.experiment).tested_on), []).append(run)
    found = []
    for place in sorted(by_place[0].keys() & by_place[1].keys()):
        sides = _paired(by_place[0][place], by_place[1][place], versions)
        if sides is not None:
            found.append(_compare((one, other), place[0], sides, protocol))
    if not found:
        where = (
            f"runs of both on the same tracklets of {dataset}"
            if dataset
            else "data set on whose tracklets both were tested"
        )
        external = any(run.experiment.external for side in tested for run in side)
        why = "; `bench score` takes --dataset, --split and the tracklets of the runs" if external else ""
        raise UserError(f"{one} and {other}: no {where}{why}")
    return found


def _paired(
    one: Sequence[FinishedRun], other: Sequence[FinishedRun], versions: Callable[[Experiment], Versions]
) -> tuple[list[FinishedRun], list[FinishedRun]] | None:
    """The runs of the two sides with the most seeds and splits in common; None if they have no split in common.

    Of several such pairs the one with the fewest settings that differ, apart from those that the methods' names decide; then
    the one that changes the fewest settings of its recipes; then the newest. If no seed is common, one run of each side on one
    split.
    """
    best: tuple[tuple[int, int, int, str], tuple[list[FinishedRun], list[FinishedRun]]] | None = None
    for ours in _groups(one, versions):
        for theirs in _groups(other, versions):
            keys = complete(ours.keys() & theirs.keys())
            pairs = [(ours[key], theirs[key]) for key in keys] or _on_one_split(ours, theirs)
            if not pairs or any(a.name == b.name for a, b in pairs):
                continue
            sides = ([a for a, _ in pairs], [b for _, b in pairs])
            newest = max(run.record.finished.isoformat() for side in sides for run in side)
            unlike = len(differing(*sides).keys() - set(ATTACHED))
            rank = (len(keys), -unlike, -sum(_changed(side[0].experiment) for side in sides), newest)
            if best is None or rank > best[0]:
                best = rank, sides
    if best is None and {run.name for run in one} & {run.name for run in other}:
        raise UserError(f"{one[0].name}: compared with itself; name another run or method")
    return best and best[1]


def _on_one_split(ours: Repetitions, theirs: Repetitions) -> list[tuple[FinishedRun, FinishedRun]]:
    """A run of each side, tested on the first split that both have, with the lowest seeds; none if they have none in common."""
    pairs = product((ours[key] for key in sorted(ours)), (theirs[key] for key in sorted(theirs)))
    return list(islice((pair for pair in pairs if len({run.experiment.test_split for run in pair}) == 1), 1))


def _groups(runs: Sequence[FinishedRun], versions: Callable[[Experiment], Versions]) -> list[Repetitions]:
    """Runs that differ in nothing but seed and split."""
    groups: dict[str, Repetitions] = {}
    for run in sorted(runs, key=lambda run: run.record.finished):
        parts: list[Any] = [run.experiment.settings, same_numbers(run.record.code), run.record.environment.processor]
        parts += versions(run.experiment)
        group = groups.setdefault(json.dumps(parts, sort_keys=True), {})
        group[run.experiment.split, run.experiment.seed] = run
    return list(groups.values())


def _changed(experiment: Experiment) -> int:
    """How many settings of its recipe a run changes."""
    if experiment.external:
        return 0
    return len(changed_from_recipe(experiment.recipe, experiment.method, experiment.settings) or {})


def differing(one: Sequence[FinishedRun], other: Sequence[FinishedRun]) -> dict[str, tuple[Any, Any]]:
    """The settings in which the two sides differ, each with both values; a setting that one side lacks is None there."""
    ours, theirs = (side[0].experiment.settings for side in (one, other))
    keys = sorted(ours.keys() | theirs.keys())
    ours, theirs = (DEFAULTS_OF_NEW_SETTINGS | settings for settings in (ours, theirs))
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def _compare(
    names: tuple[str, str],
    pair: DatasetPair,
    sides: tuple[list[FinishedRun], list[FinishedRun]],
    protocol: str | None,
) -> Comparison:
    arms = tuple(Arm(weight, side[0].experiment.method) for weight, side in zip((1, -1), sides, strict=True))
    effect = measure(Claim(f"{names[0]} less {names[1]}", "", arms), pair, sides, protocol)
    if effect.interval is None:
        raise UserError(f"{names[0]} and {names[1]} on {pair.title}: {effect.missing}")
    tables = [pd.concat(_precisions(run, number, protocol) for number, run in enumerate(side)) for side in sides]
    difference = tables[0] - tables[1]
    return Comparison(
        names,
        pair,
        sides,
        effect,
        difference.groupby(level=["split", "pid"]).mean(),
        difference.groupby(level=["split", "query"]).mean().sort_values(),
    )


def _precisions(run: FinishedRun, number: int, protocol: str | None) -> pd.Series:
    """The average precision of a run's matched queries, by split, number of the pair of runs, query and person."""
    table = run.queries(protocol).dropna(subset="average_precision")
    table = table.assign(split=run.experiment.test_split, pair=number)
    return table.set_index(["split", "pair", "query", "pid"])["average_precision"]


def sentence(found: Comparison) -> str:
    """The result in a sentence, for a paper."""
    effect, (one, other) = found.effect, found.names
    interval = effect.interval
    assert interval is not None
    points = 100 * interval.estimate
    runs = len(found.sides[0])
    above = f"{abs(points):.1f} points of {METRIC} {'above' if points >= 0 else 'below'}"
    paired = "paired " * (len({baseline(side[0].experiment.method) for side in found.sides}) == 1)
    many = f"{runs} {paired}runs" if runs > 1 else "one run"
    p = _p(effect.p) if effect.p < SMALLEST_P else f"= {_p(effect.p)}"
    within = f"95% interval {span(interval.low, interval.high)}, p {p}, {many} of each"
    start = f"On {pair_title(found.datasets, effect.notes)}, {one} is {above} {other} ({within}"
    if interval.question == "checkpoints":
        return f"{start}; the interval is over other test people with these trained models, not over other trainings)."
    return f"{start}; over other {effect.repeated} on these people)."


def grid(found: Comparison) -> Grid:
    """The difference, and for how many people and queries each side is better."""
    (one, other), effect = found.names, found.effect
    assert effect.interval is not None
    rows = []
    for name, differences in (("people", found.identities), ("queries", found.queries)):
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        rows.append([f"{name} for whom {one} is better", f"{wins} of {len(differences)}"])
        rows.append([f"{name} for whom {other} is better", f"{losses} of {len(differences)}"])
    rows[2:] = [[text.replace("for whom", "for which"), count] for text, count in rows[2:]]
    changed = [f"{key}: {ours} and {theirs}" for key, (ours, theirs) in differing(*found.sides).items()]
    external = [side[0].experiment.method for side in found.sides if side[0].experiment.external]
    differ = f"unknown: {' and '.join(external)} trained elsewhere" if external else "; ".join(changed) or "none"
    seeds = sorted({run.experiment.seed for side in found.sides for run in side})
    notes = [
        f"protocol {effect.protocol}; seeds {', '.join(map(str, seeds))}; average precision, averaged over runs",
        f"settings that differ: {differ}",
        *effect.notes,
    ]
    means = [_mean_ap(side, effect) for side in found.sides]
    rows = [
        [f"mAP of {one}", f"{means[0]:.1f}"],
        [f"mAP of {other}", f"{means[1]:.1f}"],
        ["difference", signed(100 * effect.interval.estimate)],
        ["95% interval", span(effect.interval.low, effect.interval.high)],
        ["p", _p(effect.p)],
        *rows,
    ]
    return Grid(f"{pair_title(found.datasets, notes)}: {one} and {other}", ("", "value"), rows, notes)


def queries_grid(found: Comparison) -> Grid:
    """The queries that differ most, in each direction."""
    splits = len(found.most_different_by_split()) > 1
    rows = [
        [f"{query} (split {split})" if splits else query, signed(100 * found.queries[split, query])]
        for split, query in found.most_different()
    ]
    return Grid("queries that differ most", ("query", "difference of average precision"), rows)


def _mean_ap(side: Sequence[FinishedRun], effect: JudgedClaim) -> float:
    protocol = effect.protocol.partition(",")[0]
    return float(100 * np.mean([run.queries(protocol)["average_precision"].mean() for run in side]))


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= SMALLEST_P else f"< {SMALLEST_P}"

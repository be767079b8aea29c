"""Finished runs as a table: methods down, R1 to R20, mAP and what a run costs across, over seeds and splits."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Any

import numpy as np

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED, ATTACHMENTS, split_method
from benchmarks.experiments.settings import SEARCHED, changed_from_recipe
from benchmarks.runs.records import RANKS, Record, experiment_of, stale

from . import grid
from .grid import Grid

FEATURES = ("before", "after")
COLUMNS = (*(f"R{rank}" for rank in RANKS), "mAP")
PRICES = {"M params": "{:.2f}", "G MAC": "{:.3g}", "frames/s": "{:.0f}"}
HEAD = ("method", "runs", *COLUMNS, *PRICES)


@dataclass(frozen=True)
class Row:
    """One method under one set of settings: every seed and split of it that was found.

    values: metric -> percent, one a run (None where no query has a match).
    """

    label: str
    runs: list[Record]
    values: dict[str, list[float | None]]
    stale: str


@dataclass(frozen=True)
class Table:
    """What one data set's runs gave under one protocol."""

    title: str
    rows: list[Row]
    notes: list[str]

    @property
    def letters(self) -> dict[str, str]:
        """As `lettered` gives them."""
        return lettered(_runs(self.rows))


def tables(
    records: Sequence[Record], protocol: str | None, digests: dict[str, set[str]] | None, feature: str = "before"
) -> list[Table]:
    """A table for each (trained on, evaluated on) pair among the records.

    Args:
        protocol: the one to show; None is the first that the records hold, which is the data set's default.
        digests: of the data at hand, as `records.stale` takes them; None: whether a record is stale is not asked.
        feature: "before" or "after" batch normalisation.
    """
    places: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        places.setdefault((record["experiment"]["dataset"], record["experiment"]["test"]), []).append(record)
    made = [_table(dataset, test, here, protocol, digests, feature) for (dataset, test), here in sorted(places.items())]
    return [table for table in made if table.rows]


def _table(
    dataset: str,
    test: str,
    records: list[Record],
    protocol: str | None,
    digests: dict[str, set[str]] | None,
    feature: str,
) -> Table:
    experiments = [experiment_of(record) for record in records]
    # Of ours, where there are any: someone else's features know of no data set, and have all protocols.
    usual = min(records, key=lambda record: experiment_of(record).external)
    protocol = protocol or usual["metrics"][0]["protocol"]
    ours = [experiment for experiment in experiments if not experiment.external]
    common = _common([experiment.settings for experiment in ours])
    shared = _shared(ours, common)
    rows: dict[tuple[str, ...], list[tuple[Record, dict[str, Any]]]] = {}
    for record, experiment in zip(records, experiments, strict=True):
        metrics = _find(record, protocol, feature)
        if metrics is None:
            continue
        different = {key: value for key, value in experiment.settings.items() if key not in common}
        reasons = stale(record, digests) if digests is not None else []
        label = _label(experiment, different, shared)
        read = (
            experiment.data,
            experiment.test_data,
            experiment.weights if experiment.test == experiment.dataset else "",
        )
        key = (label, json.dumps(different, sort_keys=True), "; ".join(reasons), *read)
        rows.setdefault(key, []).append((record, metrics))
    made = []
    times = Counter(label for label, *_ in rows)
    for (label, _, reason, *_), found in rows.items():
        first = experiment_of(found[0][0])
        if times[label] > 1 and label.endswith(")"):
            # Other features, or tuned otherwise: by the ends of the runs' names.
            label = f"{label.removesuffix(')')}, {first.run_hash[:10]})"
        values = {column: [percent(metrics[column]) for _, metrics in found] for column in COLUMNS}
        made.append(Row(label, [record for record, _ in found], values, reason))
    made.sort(key=lambda row: row.label)
    title = dataset if dataset == test else f"{dataset} to {test}"
    settings = {key: ours[0].settings[key] for key in common}
    return Table(title, made, _notes(made, protocol, feature, settings, shared))


def _find(record: Record, protocol: str, feature: str) -> dict[str, Any] | None:
    wanted = (protocol, feature)
    return next((row for row in record["metrics"] if (row["protocol"], row["feature"]) == wanted), None)


def _runs(rows: Iterable[Row]) -> list[Record]:
    return [run for row in rows for run in row.runs]


def processor(run: Record) -> str:
    """What a run was made by: its GPU, or its CPU."""
    return str(run["environment"]["gpu"] or run["environment"]["cpu"])


def lettered(runs: Iterable[Record]) -> dict[str, str]:
    """A letter for each kind of processor whose frames/s are known, where there are several; empty where they compare."""
    kinds = sorted({processor(run) for run in runs if "extract" in run["phases"]})
    return dict(zip(kinds, ascii_letters, strict=False)) if len(kinds) > 1 else {}


def priced(letters: dict[str, str]) -> str:
    """The note below the columns of PRICES."""
    by = "; frames/s by " + ", ".join(f"{letter} {kind}" for kind, letter in letters.items()) if letters else ""
    return f"M params: without the classifier; G MAC: multiply-adds a frame; frames/s: at test; means over runs{by}"


def priced_cells(runs: Sequence[Record], letters: dict[str, str]) -> list[str]:
    """What the runs cost, by the names of PRICES: means, a dash where nothing is known, and by which kind of processor."""
    known = [_prices(run) for run in runs]
    costs = {column: [each[column] for each in known if column in each] for column in PRICES}
    cells = [form.format(np.mean(costs[column])) if costs[column] else "-" for column, form in PRICES.items()]
    by = ", ".join(sorted({letters[processor(run)] for run in runs if "extract" in run["phases"]})) if letters else ""
    return [*cells[:-1], f"{cells[-1]} {by}".rstrip()]


def best(means: Sequence[float]) -> list[int]:
    """Where the highest of several figures stand, as they are printed: to a tenth. NaN is none."""
    known = {row: round(value, 1) for row, value in enumerate(means) if not math.isnan(value)}
    return [row for row, value in known.items() if value == max(known.values())] if len(known) > 1 else []


def _prices(run: Record) -> dict[str, float]:
    """What one run costs, by the names of PRICES; features from outside have no price."""
    cost, extract = run["cost"], run["phases"].get("extract")
    prices = {"M params": cost["parameters"] / 1e6, "G MAC": cost["multiply_adds"] / 1e9} if cost else {}
    return prices | {"frames/s": extract["per_second"]} if extract else prices


def percent(fraction: float | None) -> float | None:
    """A fraction in percent; None stays None."""
    return None if fraction is None else 100 * fraction


def _common(settings: list[dict[str, Any]]) -> set[str]:
    """The settings that all runs of a table share."""
    if not settings:
        return set()
    first = settings[0]
    return {key for key in first if all(each.get(key) == first[key] for each in settings)}


def _shared(experiments: list[Experiment], common: set[str]) -> set[str]:
    """The settings in which all runs of a table depart from what recipe and method say, all to the same value."""
    changed = [changed_from_recipe(each.recipe, each.method, each.settings) or {} for each in experiments]
    return {key for key in common if all(key in each for each in changed)}


def departures(runs: Iterable[Record]) -> list[str]:
    """The settings in which all runs of ours depart from their recipe, all to the same value, as a note; if any."""
    ours = [each for each in map(experiment_of, runs) if not each.external]
    common = _common([each.settings for each in ours])
    return _departures(ours[0].settings, _shared(ours, common)) if ours else []


def _departures(settings: dict[str, Any], shared: set[str]) -> list[str]:
    return [f"changed from the recipe: {_listed(settings, shared)}"] if shared else []


def _label(experiment: Experiment, different: dict[str, Any], shared: set[str]) -> str:
    """The method, and the settings that a reader must be told of: by which this row differs from any other or from its
    recipe, but for those that the method's name implies and those that stand below the table."""
    method, settings = experiment.method, experiment.settings
    if experiment.external:
        return f"{method} (external{'' if settings['metric'] == 'euclidean' else ', ' + settings['metric']})"
    changed = changed_from_recipe(experiment.recipe, method, settings)
    if changed is None:  # not a recipe of ours: only what the name implies is known
        implied = ATTACHMENTS[split_method(method)[1]]
        changed = {key: value for key, value in different.items() if key in ATTACHED and implied.get(key) != value}
    shown = {key: value for key, value in different.items() if key not in ATTACHED} | changed
    told = set(shown) - shared - {"tuning_trials"}
    words = []
    if trials(settings):  # what was chosen stands below the table
        told, words = told - set(SEARCHED), ["tuned"]
    words += [_listed(shown, told)] if told else []
    return f"{method} ({', '.join(words)})" if words else method


def trials(settings: dict[str, Any]) -> int:
    """How many trials of `bench tune` chose a run's settings."""
    return int(settings.get("tuning_trials", 0))


def tuning(rows: Iterable[tuple[str, Sequence[Record]]]) -> list[str]:
    """How labelled runs were tuned, where some were: all by the same number of trials, or not; and what was chosen."""
    firsts = {label: experiment_of(runs[0]) for label, runs in rows if runs}
    settings = {label: first.settings for label, first in firsts.items() if not first.external}
    counts = {label: trials(each) for label, each in settings.items()}
    if not any(counts.values()):
        return []
    equal = len(set(counts.values())) == 1
    by_count = "; ".join(
        f"{n} of {', '.join(k for k in counts if counts[k] == n)}" for n in sorted(set(counts.values()))
    )
    first = f"tuned: {max(counts.values())} trials each" if equal else f"UNEQUAL TUNING: trials: {by_count}"
    keys = set(SEARCHED)
    chosen = [f"{label}: {_listed(settings[label], keys & set(settings[label]))}" for label in counts if counts[label]]
    return [f"{first}; by mAP on held-out training identities", *chosen]


def _listed(settings: dict[str, Any], keys: set[str]) -> str:
    return ", ".join(f"{key}={settings[key]}" for key in sorted(keys))


def _notes(rows: list[Row], protocol: str, feature: str, common: dict[str, Any], shared: set[str]) -> list[str]:
    runs = _runs(rows)
    if not runs:
        return []
    places = [processor(run) for run in runs]
    precisions = [run["experiment"]["settings"].get("precision", "as given") for run in runs]
    recipes = [run["experiment"]["recipe"] for run in runs]
    unmatched = {metrics["unmatched"] for run in runs if (metrics := _find(run, protocol, feature))}
    notes = [
        f"protocol {protocol}; percent; mean ± standard deviation over runs; feature {feature} batch normalisation",
        priced(lettered(runs)),
        f"recipe {_flagged(recipes)}; {drawn(runs)}; {_flagged(precisions)}; {_flagged(places)}; {code_of(runs)}",
    ]
    if {"backbone", "height", "width", "clip_frames", "epochs", "weights"} <= common.keys():
        size = f"{common['height']}x{common['width']}"
        notes.append(
            f"backbone {common['backbone']} (weights {common['weights']}), {size}, clips of {common['clip_frames']}, "
            f"{common['epochs']} epoch{'' if common['epochs'] == 1 else 's'}"
        )
    notes += _departures(common, shared)
    notes += tuning((row.label, row.runs) for row in rows)
    if unmatched != {0}:
        notes.append(f"queries without a match, left out: {', '.join(str(count) for count in sorted(unmatched))}")
    notes += sorted({f"* stale: {row.stale}" for row in rows if row.stale})
    return notes


def _flagged(values: Sequence[str]) -> str:
    """What should be one for all rows, and is flagged where it is not."""
    return ", ".join(sorted(set(values))) + " (MIXED)" * (len(set(values)) > 1)


def code_of(runs: Sequence[Record]) -> str:
    """The digests of the code; a baseline's own file is in its digest, so that it is one a baseline that must not differ."""
    each = {(run["experiment"]["method"].partition("+")[0], str(run["code"])[:8]) for run in runs}
    mixed = len(each) > len({baseline for baseline, _ in each})
    return f"code {', '.join(sorted({code for _, code in each}))}{' (MIXED)' * mixed}"


def drawn(runs: Sequence[Record]) -> str:
    """Which seeds and splits the runs have; many in a row by the first and the last."""
    return "; ".join(f"{key}s {_ranges(sorted({run['experiment'][key] for run in runs}))}" for key in ("seed", "split"))


def _ranges(numbers: list[int]) -> str:
    whole = len(numbers) > 3 and numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def mean(values: Iterable[float | None]) -> float:
    """Of the runs of which there is a figure; NaN where there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def cell(values: list[float | None]) -> str:
    """`83.1 ± 0.4`, or `83.1` of a single run; a dash where no query has a match."""
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
            *priced_cells(row.runs, letters),
        ]
        for row in table.rows
    ]

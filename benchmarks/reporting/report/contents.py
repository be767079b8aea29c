"""The contents of the report as plain data: its tables, its verdict and its figures. `pages` makes HTML of them.

To add to the report, return more from the functions here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import NamedTuple

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.data import registered_name
from benchmarks.data.find import find_dataset, find_known
from benchmarks.data.loading import known_digests
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import ATTACHMENTS
from benchmarks.experiments.settings import changed_from_recipe
from benchmarks.reporting import suite_table
from benchmarks.reporting.dataset_table import dataset_grids
from benchmarks.reporting.figures import cues, sources, sweeps, systems
from benchmarks.reporting.figures.curves import cmc, training
from benchmarks.reporting.figures.figure import Figure
from benchmarks.reporting.grid import unique_names
from benchmarks.reporting.provenance import COSTS, cost_cells
from benchmarks.reporting.table import COLUMNS, Table, best, cell, mean, tables
from benchmarks.reporting.verdict import CONTROLS_DATA
from benchmarks.runs.finished import FinishedRun
from benchmarks.scheduling.states import FindStates
from benchmarks.suites import SUITES, published_systems
from benchmarks.suites.suite import QUICK, Choice, Row, Suite, all_rows, dataset_pairs, first_experiment, rows_for

from .html import el

FILTERS = ("data set", "baseline", "protocol")


@dataclass(frozen=True)
class Section:
    """A table under its title.

    Attributes:
        suite, question: the suite that it belongs to, and what that asks; "" for the tables of all runs.
        frame: cells are text, numbers or `html.Markup`; a cell sorts by the number at its beginning. Columns of `FILTERS`
            filter the rows, and are shown only where they differ (`baseline` never).
        notes: below the table.
    """

    title: str
    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    suite: str = ""
    question: str = ""


def suite_tables(runs: Sequence[FinishedRun], find_states: FindStates) -> list[Section]:
    """The tables of every suite with runs for half of its rows; or, on its own data sets, for two rows, or for any where no other
    suite has them. The worlds of the controls belong to the suites that name them.

    There is one for each pair of data sets, each set of options that the runs were made with, and each protocol. The paper's
    come first, then those with the most rows. A single row on other data is left out.
    """
    experiments = [run.experiment for run in runs]
    pairs = sorted({each.datasets for each in experiments if not each.external})
    pairs = [pair for pair in pairs if all(find_known(name) is not None for name in pair)]
    finished: dict[str, set[int]] = {}
    for each in experiments:
        finished.setdefault(_of_any_seed(each), set()).add(each.seed)
    made_with = {pair: _made_with(each for each in experiments if each.datasets == pair) for pair in pairs}
    made = []
    suites = {name: SUITES.get(name)() for name in SUITES.names()}
    owners = Counter(pair for suite in suites.values() for pair in suite.pairs(suite.datasets))
    for name, suite in sorted(suites.items(), key=lambda each: (not each[1].paper, -len(_rows(each[1])), each[0])):
        for pair in pairs:
            own = pair in suite.pairs(suite.datasets)
            if not own and (name == "controls" or registered_name(pair.tested_on) in CONTROLS_DATA):
                continue
            shown: set[str] = set()
            for choice in _choices(suite, pair, made_with[pair]):
                rows = _requests(suite, pair, choice)
                single = len(rows) == 1 and not own
                done = [row for row in rows if any(seed in choice.all_seeds for seed in finished.get(row, ()))]
                enough = len(done) >= (min(owners[pair], 2) if own else max(0.5 * len(rows), 1))
                if enough and not single and rows[0] not in shown:
                    shown.add(rows[0])
                    made += _suite_sections(name, pair, choice, find_states)
    return [*made, *_dataset_sections(pairs)]


def _requests(suite: Suite, pair: DatasetPair, choice: Choice) -> list[str]:
    """Each row of a suite on a pair of data sets, as `_of_any_seed` has it; empty where the suite cannot be run so."""
    try:
        rows = rows_for(suite, pair, choice) if pair in dataset_pairs(suite, choice) else []
        return [_of_any_seed(first_experiment(row, pair, choice).experiment) for row in rows]
    except UserError:  # a setting that only one of the methods has, or a part of a plug-in that is not loaded
        return []


def _of_any_seed(experiment: Experiment) -> str:
    """What the requests of all seeds and splits of an experiment have in common."""
    return replace(experiment, seed=0, split=0, test_split=0).request_hash


class _Options(NamedTuple):
    """What decided the settings of a run: method, recipe, and the settings that differ from these, as (key, text)."""

    method: str
    recipe: str
    changes: tuple[tuple[str, str], ...]


def _made_with(experiments: Iterable[Experiment]) -> dict[_Options, set[int]]:
    """The seeds that ran with each set of options; without runs by recipes that this project lacks, which it cannot plan."""
    seeds: dict[_Options, set[int]] = {}
    for each in experiments:
        changed = changed_from_recipe(each.recipe, each.method, each.settings)
        if not each.external and changed is not None:
            changes = tuple(sorted((key, str(value)) for key, value in changed.items()))
            seeds.setdefault(_Options(each.method, each.recipe, changes), set()).add(each.seed)
    return seeds


def _choices(suite: Suite, pair: DatasetPair, made_with: Mapping[_Options, set[int]]) -> list[Choice]:
    """The options with which a suite may have been run: the recipes and changes of its methods, without what its rows change.

    Those with the fewest options come first. Runs on shuffled frames are controls, except of suites whose rows shuffle.
    """
    rows = all_rows(suite, pair.trained_on)
    methods, varied = {row.method for row in rows}, {text.partition("=")[0] for row in rows for text in row.changes}
    unnamed = {find_dataset(pair.trained_on).recipe, *(row.recipe for row in rows)}
    seeds: dict[Choice, set[int]] = {}
    for (method, recipe, changed), ran in made_with.items():
        other = {key: text for key, text in changed if key not in varied}
        if method in methods and "shuffle" not in other:
            changes = {f"{key}={text}" for key, text in other.items()}
            quick = recipe == "small" and changes >= set(QUICK)
            choice = Choice(
                tuple(dict.fromkeys(pair)),
                recipe=None if quick or recipe in unnamed else recipe,
                changes=tuple(sorted(changes - set(QUICK) if quick else changes)),
                quick=quick,
            )
            seeds.setdefault(choice, set()).update(ran)
    ordered = sorted(seeds, key=lambda each: (len(each.options), each.options))
    return [replace(each, seeds=len(run), first_seed=run[0]) for each in ordered for run in _consecutive(seeds[each])]


def _consecutive(seeds: set[int]) -> list[list[int]]:
    """The seeds in runs of consecutive ones, the longest first."""
    runs = groupby(enumerate(sorted(seeds)), key=lambda pair: pair[1] - pair[0])
    return sorted(([seed for _, seed in run] for _, run in runs), key=len, reverse=True)


def _rows(suite: Suite) -> Sequence[Row]:
    return all_rows(suite, suite.datasets[0])


def _dataset_sections(pairs: Sequence[tuple[str, str]]) -> list[Section]:
    """Table 1, for those of its data sets that were read on this machine."""
    suite = SUITES.get("table1")()
    names = [name for name in suite.datasets if name in chain(*pairs) and known_digests(name, 0)]
    if not names:
        return []
    grids = dataset_grids(suite, Choice(tuple(names)))
    rows = [[grid.title, *row] for grid in grids for row in grid.rows]
    frame = pd.DataFrame(rows, columns=["data set", "what", *grids[0].head[1:]])
    notes = [note for grid in grids for note in grid.notes]
    return [Section("table1", frame, notes, "table1", SUITES.entries["table1"].summary)]


def _suite_sections(name: str, pair: DatasetPair, choice: Choice, find_states: FindStates) -> list[Section]:
    """One for each protocol; a single one if the suite's rows have protocols of their own."""
    suite = SUITES.get(name)()
    own = all(row.protocol for row in all_rows(suite, pair[0]))
    made = []
    for protocol in [None] if own else find_dataset(pair[1]).protocols:
        measured = suite_table.measured_rows(suite, choice, pair, find_states, protocol)
        if any(row.runs for row in measured) and not any(chain(*(row.values.values() for row in measured))):
            continue  # none of the finished runs has this protocol
        grid = suite_table.grid(suite, pair, measured)
        rows: list[list[object]] = []
        for number, (row, cells) in enumerate(zip(measured, grid.rows, strict=True)):
            shown = [el("b", text) if (number, column) in grid.bold else text for column, text in enumerate(cells)]
            rows.append([grid.title, baseline(row.row.method) if row.row else "", row.view[0], *shown])
        title = ", ".join(
            filter(None, (f"{name} on {grid.title}", choice.description, "" if own else f"protocol {protocol}"))
        )
        frame = pd.DataFrame(rows, columns=[*FILTERS, *unique_names(grid.head)])
        made.append(Section(title, frame, list(grid.notes), name, SUITES.entries[name].summary))
    return made


def result_tables(runs: Sequence[FinishedRun], digests: dict[str, set[str]] | None = None) -> list[Section]:
    """A table for each pair of data sets and protocol: a row for each method, with the best figures in bold."""
    records = [run.record for run in runs]
    protocols = dict.fromkeys(row.protocol for record in records for row in record.metrics)
    made = [(protocol, table) for protocol in protocols for table in tables(records, protocol, digests)]
    order = {protocol: number for number, protocol in enumerate(protocols)}
    made.sort(key=lambda each: (each[1].title, order[each[0]]))
    return [_section(protocol, table) for protocol, table in made if protocol != "validation"]


def _section(protocol: str, table: Table) -> Section:
    rows, letters = [], table.letters
    bold = {column: best([mean(row.values[column]) for row in table.rows]) for column in COLUMNS}
    for number, row in enumerate(table.rows):
        method = row.runs[0].experiment.method
        cells: dict[str, object] = {"data set": table.title, "baseline": baseline(method), "protocol": protocol}
        cells |= {"method": row.label + ("*" if row.stale else ""), "runs": len(row.runs)}
        for column in COLUMNS:
            text = cell(row.values[column])
            cells[column] = el("b", text) if number in bold[column] else text
        rows.append(cells | dict(zip(COSTS, cost_cells(row.runs, letters), strict=True)))
    return Section(
        f"{table.title}, protocol {protocol}", pd.DataFrame(rows), [*table.notes, "Bold: the best of its column."]
    )


def baseline(method: str) -> str:
    """The baseline of a method; of an external method, its name."""
    name, _, attached = method.partition("+")
    return name if attached and attached in ATTACHMENTS else method


def drawn_figures(runs: Sequence[FinishedRun]) -> list[Figure]:
    """The figures of the report: those of the suites that have runs, and for each data set the CMC curves and the training."""
    names = sorted({run.experiment.test for run in runs})
    made = [cues.cues(runs), sources.order(runs), sweeps.fig3a(runs), sweeps.fig3b(runs), sweeps.distill(runs)]
    made += [
        replace(each, name=f"sources-{name}") for name in names if (each := sources.sources(runs, name)).panels[0].lines
    ]
    compared = [systems.systems(runs, name) for name in names]
    made += [
        replace(each, name=f"systems-{name}")
        for name, each in zip(names, compared, strict=True)
        if {text for _, text in each.panels[0].ticks} - {system.name for system in published_systems.BASELINES}
    ]
    for draw in (cmc, training):
        for name in names:
            figure = draw([run for run in runs if run.experiment.test == name])
            made.append(replace(figure, name=f"{figure.name}-{name}", title=f"{figure.title} on {name}"))
    return not_empty(made)


def not_empty(figures: Sequence[Figure]) -> list[Figure]:
    """The figures that show something."""
    return [each for each in figures if any(panel.lines for panel in each.panels)]

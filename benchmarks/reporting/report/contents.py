"""What the report says, as plain data: its tables, its verdict and its figures. `pages` makes HTML of it.

To put more into the report, return more from the functions here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, count

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.data.loading import find_dataset, known_digests
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import recipe_names
from benchmarks.reporting import figures, suite_table
from benchmarks.reporting.grid import told_apart
from benchmarks.reporting.table import COLUMNS, PRICES, Table, best, cell, mean, priced_cells, tables
from benchmarks.reporting.verdict import Judged, judge
from benchmarks.runs.finished import Found
from benchmarks.runs.records import experiment_of
from benchmarks.scheduling.states import FindStates
from benchmarks.suites import SUITES, controls
from benchmarks.suites.suite import Choice, Row, Suite, dataset_pairs, experiments_of_row, rows_for

from .html import el

FILTERS = ("data set", "baseline", "protocol")


@dataclass(frozen=True)
class Section:
    """A table under its title.

    Attributes:
        frame: cells are text, numbers or `html.Markup`; a cell sorts by the number that it begins with. The columns of
            `FILTERS`, where there are any, filter the rows and are shown only where they differ (`baseline` never).
        notes: what stands under the table.
    """

    title: str
    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def suite_tables(runs: Sequence[Found], look: FindStates) -> list[Section]:
    """Every suite of which half of the rows have run, as `bench table SUITE` has it: at each place, under each protocol.

    The paper's come first, those with most rows before the others. One row of ours alone, beside figures of another data
    set, is left out.
    """
    experiments = [experiment_of(run.record) for run in runs]
    here = sorted({DatasetPair(each.dataset, each.test) for each in experiments if not each.external})
    here = [place for place in here if all(map(_known, place))]
    asked = {each.request_hash for each in experiments}
    choices = {place: _choices(place, experiments) for place in here}
    made = []
    suites = {name: SUITES.get(name)() for name in SUITES.names()}
    for name, suite in sorted(suites.items(), key=lambda each: (not each[1].paper, -len(_rows(each[1])), each[0])):
        for place in here:
            shown: set[str] = set()
            for choice in choices[place]:
                rows = _questions(suite, place, choice)
                alone = len(rows) == 1 and place not in suite.pairs(suite.datasets)
                run = sum(not row.isdisjoint(asked) for row in rows)
                if rows and not alone and 2 * run >= len(rows) and shown.isdisjoint(rows[0]):
                    shown |= rows[0]
                    made += _suite_sections(name, place, choice, look)
    return [*made, *_counted(here)]


def _questions(suite: Suite, place: DatasetPair, choice: Choice) -> list[set[str]]:
    """What each row of a suite asks at a place; nothing where it is not measured there."""
    rows = rows_for(suite, place, choice) if place in dataset_pairs(suite, choice) else []
    return [{each.experiment.request_hash for each in experiments_of_row(row, place, choice)} for row in rows]


def _choices(place: DatasetPair, experiments: Sequence[Experiment]) -> list[Choice]:
    """What may have been asked of a suite at a place: its data set's recipe, --quick, and each recipe of ours that was used."""
    seeds: dict[str, set[int]] = {}
    for each in experiments:
        if (each.dataset, each.test) == place:
            seeds.setdefault(each.recipe, set()).add(each.seed)
    plain = Choice(tuple(dict.fromkeys(place)), _from_0(set().union(*seeds.values())))
    named = [replace(plain, recipe=name, seeds=_from_0(seeds[name])) for name in recipe_names() if name in seeds]
    return [plain, replace(plain, quick=True), *named]


def _from_0(seeds: set[int]) -> int:
    """How many seeds there are from 0 on."""
    return next(n for n in count() if n not in seeds)


def _rows(suite: Suite) -> Sequence[Row]:
    return suite.rows(suite.datasets[0])


def _known(dataset: str) -> bool:
    """Whether a data set's definition is at hand; that of a plug-in or an imported video may not be."""
    try:
        find_dataset(dataset)
    except UserError:
        return False
    return True


def _counted(here: Sequence[tuple[str, str]]) -> list[Section]:
    """Table 1, of those of its data sets that were read on this machine."""
    suite = SUITES.get("table1")()
    names = [name for name in suite.datasets if name in chain(*here) and known_digests(name, 0)]
    if not names:
        return []
    grids = suite_table.counted(suite, Choice(tuple(names)))
    rows = [[grid.title, *row] for grid in grids for row in grid.rows]
    frame = pd.DataFrame(rows, columns=["data set", "what", *grids[0].head[1:]])
    return [Section("table1", frame, [note for grid in grids for note in grid.notes])]


def _suite_sections(name: str, place: DatasetPair, choice: Choice, look: FindStates) -> list[Section]:
    """One a protocol; of a suite whose rows have protocols of their own, one."""
    suite = SUITES.get(name)()
    own = all(row.protocol for row in suite.rows(place[0]))
    made = []
    for protocol in [None] if own else find_dataset(place[1]).protocols:
        lines = suite_table.measured(suite, choice, place, look, protocol)
        if any(line.runs for line in lines) and not any(chain(*(line.values.values() for line in lines))):
            continue  # what has run has not this protocol
        grid = suite_table.grid(suite, place, lines)
        rows: list[list[object]] = []
        for number, (line, cells) in enumerate(zip(lines, grid.rows, strict=True)):
            shown = [el("b", text) if (number, column) in grid.bold else text for column, text in enumerate(cells)]
            rows.append([grid.title, baseline(line.row.method) if line.row else "", line.view[0], *shown])
        title = ", ".join(
            filter(None, (f"{name} on {grid.title}", choice.description, "" if own else f"protocol {protocol}"))
        )
        frame = pd.DataFrame(rows, columns=[*FILTERS, *told_apart(grid.head)])
        made.append(Section(title, frame, [SUITES.entries[name].summary, *grid.notes]))
    return made


def result_tables(runs: Sequence[Found], digests: dict[str, set[str]] | None = None) -> list[Section]:
    """A table a data set and protocol: methods down, R1 to R20 and mAP across, the best in bold."""
    records = [run.record for run in runs]
    protocols = dict.fromkeys(row["protocol"] for record in records for row in record["metrics"])
    made = [(protocol, table) for protocol in protocols for table in tables(records, protocol, digests)]
    order = {protocol: number for number, protocol in enumerate(protocols)}
    made.sort(key=lambda each: (each[1].title, order[each[0]]))
    return [_section(protocol, table) for protocol, table in made if protocol != "validation"]


def _section(protocol: str, table: Table) -> Section:
    rows, letters = [], table.letters
    bold = {column: best([mean(row.values[column]) for row in table.rows]) for column in COLUMNS}
    for number, row in enumerate(table.rows):
        method = row.runs[0]["experiment"]["method"]
        cells: dict[str, object] = {"data set": table.title, "baseline": baseline(method), "protocol": protocol}
        cells |= {"method": row.label + ("*" if row.stale else ""), "runs": len(row.runs)}
        for column in COLUMNS:
            text = cell(row.values[column])
            cells[column] = el("b", text) if number in bold[column] else text
        rows.append(cells | dict(zip(PRICES, priced_cells(row.runs, letters), strict=True)))
    return Section(
        f"{table.title}, protocol {protocol}", pd.DataFrame(rows), [*table.notes, "Bold: the best of its column."]
    )


def baseline(method: str) -> str:
    """The baseline of a method; of someone else's, its name."""
    return split_method(method)[0] if method.endswith(("+afa", "+afa-motion")) else method


def verdict(runs: Sequence[Found]) -> list[Judged]:
    """The paper's claims one by one, as `bench verdict` judges them."""
    return judge(runs, controls=partial(controls.standing, [run.record for run in runs]))


def drawn_figures(runs: Sequence[Found]) -> list[figures.Figure]:
    """The figures of the report: the paper's, and match by rank and training for each data set."""
    datasets = sorted({run.record["experiment"]["test"] for run in runs})
    swept = [figures.fig3a(runs), figures.fig3b(runs)]
    here = [(name, [run for run in runs if run.record["experiment"]["test"] == name]) for name in datasets]
    drawn = [figures.cmc(found) for _, found in here] + [figures.training(found) for _, found in here]
    names = [f"{figure.name}-{name}" for figure, name in zip(drawn, datasets * 2, strict=True)]
    titles = [f"{figure.title} on {name}" for figure, name in zip(drawn, datasets * 2, strict=True)]
    renamed = [
        figures.Figure(name, title, figure.panels, figure.notes)
        for name, title, figure in zip(names, titles, drawn, strict=True)
        if figure.name != "training" or any(panel.lines for panel in figure.panels)
    ]
    return swept + renamed

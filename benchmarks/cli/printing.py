"""Print tables, for several verbs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from baselines.interface.errors import UserError
from benchmarks.paths import results_dir
from benchmarks.wording import number_of

if TYPE_CHECKING:
    from benchmarks.runs.finished import FinishedRun
    from benchmarks.runs.record import Record
    from benchmarks.scheduling.selection import Selection
    from benchmarks.scheduling.states import FindStates


def check_choices(style: str, feature: str = "before") -> None:
    """Raise a UserError for an unknown format or feature."""
    from benchmarks.reporting.grid import STYLES
    from benchmarks.reporting.table import FEATURES

    if style not in STYLES:
        raise UserError(f"--format {style}: choose {', '.join(STYLES)}")
    if feature not in FEATURES:
        raise UserError(f"--feature {feature}: choose {', '.join(FEATURES)}")


def exit_if_missing(selection: "Selection", also: Sequence[str] = ()) -> None:
    """After a dry run, print which data sets do not have the published counts, and what the experiments lack here, with remedies.

    Args:
        also: other data sets that the experiments read.

    Raises:
        typer.Exit: with status 2, if anything is missing.
    """
    from benchmarks.scheduling.preflight import counts_notes, missing_here

    for line in counts_notes(selection, also):
        print(f"bench: {line}", file=sys.stderr)
    missing = missing_here(selection, also)
    for line in missing:
        print(f"bench: missing: {line}", file=sys.stderr)
    if missing:
        raise typer.Exit(2)


def current_or_exported(
    files: Sequence[Path], datasets: Sequence[str] = (), named: Sequence[str] = ()
) -> "list[FinishedRun]":
    """The runs in exported files; without files, those of the results directory, but stale ones are left out, with a note.

    Args:
        datasets: only runs tested on these. Empty: on any.
        named: beginnings or ends of names; a stale run that is named so is not left out, but noted.

    Raises:
        UserError: there are none.
    """
    from benchmarks.runs.find import current_runs, find_runs, is_named

    found = find_runs(files=files, datasets=datasets)
    if files:
        return found
    current = current_runs(found)
    ids = {id(run) for run in current}
    stale = [run for run in found if id(run) not in ids]
    asked = [run for run in stale if is_named(run, named)]
    why = "`bench table` says why"
    for run in asked:
        print(f"bench: {run.name} is stale; {why}", file=sys.stderr)
    if not current and not asked:
        tested = f" on {' or '.join(datasets)}" if datasets else ""
        raise UserError(f"{results_dir()}: all finished runs{tested} are stale; {why}")
    if len(stale) > len(asked):
        print(f"bench: {number_of(len(stale) - len(asked), 'stale run')} left out; {why}", file=sys.stderr)
    return [*current, *asked]


def print_record(record: "Record") -> None:
    """Print the table of one run, and its folder."""
    print_tables([record])
    print(f"\n{results_dir() / record.name}")


def print_tables(
    records: "Sequence[Record]",
    protocol: str | None = None,
    style: str = "terminal",
    feature: str = "before",
    *,
    check_current: bool = True,
) -> None:
    """Print the tables of records, under the given protocol or each data set's first.

    check_current: mark records of earlier code or data as stale.
    """
    from benchmarks.reporting.table import page, tables
    from benchmarks.runs.find import available_digests

    check_choices(style, feature)
    made = tables(list(records), protocol, available_digests(records) if check_current else None, feature)
    if not made:
        under = f" under protocol {protocol}" if protocol else ""
        raise UserError(f"no run has results{under} for the feature {feature} batch normalisation")
    print(page(made, style))


def print_suite_table(
    selection: "Selection", files: Sequence[Path], protocol: str | None, style: str, feature: str
) -> None:
    """Print the table of a suite, from the records in exported files, or from the results here and the queue."""
    from benchmarks.reporting.dataset_table import dataset_grids
    from benchmarks.reporting.grid import page
    from benchmarks.reporting.suite_table import grids

    suite, choice = selection.suite, selection.choice
    if suite.paper == "table1":
        print(page(dataset_grids(suite, choice, selection.root), style))
    else:
        print(page(grids(suite, choice, state_finder(files, selection.root), protocol, feature), style))


def state_finder(files: Sequence[Path], root: Path | None = None) -> "FindStates":
    """The function that finds the states of experiments: in exported files, or in the results here and the queue."""
    from benchmarks.runs.exchange import exported_records
    from benchmarks.scheduling.queue import find_in_results_and_queue
    from benchmarks.scheduling.states import find_in_records

    if files:
        return find_in_records([record for file in files for record in exported_records(file)])
    return find_in_results_and_queue(root)

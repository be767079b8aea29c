"""Verbs that show and exchange finished runs: show, table, verdict, records export, records merge."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baselines.interface.errors import UserError
from benchmarks.paths import results_dir
from benchmarks.wording import number_of

from .options import From, OptionalSuite, Plugin, Protocol, Run, Style, SuiteOptions, flatten_options
from .printing import check_choices, current_or_exported, print_suite_table, print_tables

if TYPE_CHECKING:
    from benchmarks.runs.record import Record

verbs = typer.Typer()
records_verbs = typer.Typer(help="Exchange finished runs with others, as one file.", no_args_is_help=True)


@verbs.command()
def show(run: Run, plugin: Plugin = []) -> None:
    """Show one finished run: its results under every protocol, its settings, its cost, and the machine that made it."""
    from benchmarks.reporting.show import describe
    from benchmarks.runs.find import available_digests, find_run
    from benchmarks.runs.staleness import stale_reasons

    folder, record = find_run(run, results_dir())
    print(describe(record, stale_reasons(record, available_digests([record]))))
    print(f"\n{folder.path}")
    _warn_of_unknown([record])


@verbs.command()
@flatten_options
def table(
    options: SuiteOptions,
    suite: OptionalSuite = None,
    method: Annotated[
        list[str], typer.Option(help="Without a SUITE: show the runs of this method. Can be repeated.")
    ] = [],
    protocol: Protocol = None,
    style: Style = "terminal",
    feature: Annotated[
        str, typer.Option(help="The feature to evaluate: before or after batch normalisation.")
    ] = "before",
    files: From = [],
) -> None:
    """Show the table of a suite next to the paper's; without a SUITE, all finished runs. Unfinished runs are listed below it.

    --seeds, --first-seed, --quick, --recipe, --set and --root select experiments of a SUITE, as for `bench suite run`.
    Without a SUITE, --dataset and --method show the runs of those only.
    """
    check_choices(style, feature)
    if suite is not None and method:
        raise UserError("--method: selects among all finished runs; omit it, or the SUITE")
    if suite is not None:
        print_suite_table(options.select(suite), files, protocol, style, feature)
        return
    for name in options._fields:
        if name not in ("dataset", "plugin") and getattr(options, name):
            option = "--set" if name == "change" else f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: selects experiments of a suite; name the SUITE, or omit the option")
    try:
        _print_finished(options.dataset, method, protocol, style, feature, files)
    finally:
        if not files:
            _print_unfinished(options.dataset, method)


def _print_finished(
    datasets: Sequence[str],
    methods: Sequence[str],
    protocol: str | None,
    style: str,
    feature: str,
    files: Sequence[Path],
) -> None:
    from benchmarks.runs.find import find_runs
    from benchmarks.runs.record_index import without_collection

    with without_collection():
        records = [run.record for run in find_runs(datasets=datasets, files=files, methods=methods)]
        print_tables(records, protocol, style, feature, check_current=not files)
    if not files:
        _warn_of_unknown(records)


def _print_unfinished(datasets: Sequence[str], methods: Sequence[str]) -> None:
    from benchmarks.runs.unfinished import unfinished_runs

    for run in unfinished_runs(results_dir()):
        here = not datasets or run.experiment.test in datasets
        if here and (not methods or run.experiment.method in methods):
            print(f"not finished: {run}", file=sys.stderr)


def _warn_of_unknown(records: "Sequence[Record]") -> None:
    from benchmarks.runs.find import warnings_of_unknown

    for line in warnings_of_unknown(records):
        print(f"bench: {line}", file=sys.stderr)


@verbs.command()
def verdict(
    dataset: Annotated[
        str | None, typer.Option(help="Judge only runs that were trained or tested on this data set.")
    ] = None,
    first_seed: Annotated[
        int,
        typer.Option(
            "--first-seed", min=0, help="Judge only runs with this seed or a larger one; controls may have any."
        ),
    ] = 0,
    protocol: Protocol = None,
    style: Style = "terminal",
    files: From = [],
    plugin: Plugin = [],
) -> None:
    """Judge each claim: the answer in words, a picture, and tables of effects, intervals, the paper's effects and verdicts."""
    check_choices(style)
    from benchmarks.reporting.answer import answer, brief, headline, picture
    from benchmarks.reporting.figures.cues import crossings
    from benchmarks.reporting.grid import page
    from benchmarks.reporting.verdict import judge, seeds_from
    from benchmarks.reporting.verdict_tables import grids

    runs = current_or_exported(files)
    new = seeds_from(first_seed, runs)
    judged = judge(new, protocol, dataset, controls_among=runs)
    tables = list(grids(judged, [run.record for run in new]))
    if not tables:
        where = f" on {dataset}" if dataset else ""
        seeds = f" with a seed from {first_seed} on" if first_seed else ""
        raise UserError(f"nothing to judge: no finished run of a method that the claims compare{where}{seeds}")
    if first_seed:
        tables = [replace(table, notes=[f"only seeds from {first_seed} on", *table.notes]) for table in tables]
    if style in ("terminal", "github"):
        drawn = picture(judged) if style == "terminal" else ""
        first = crossings(new, protocol) if dataset is None else []
        print("\n\n".join(filter(None, [*first, *headline(judged), drawn, *answer(judged)])), end="\n\n")
    print(page(brief(tables), style))


@verbs.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A method, or a run by the beginning or end of its name.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The method or run to compare it with.")],
    dataset: Annotated[str | None, typer.Option(help="Compare only on this data set.")] = None,
    protocol: Protocol = None,
    style: Style = "terminal",
    to: Annotated[
        Path | None,
        typer.Option(
            "--gallery",
            metavar="DIR",
            help="Also draw the queries that differ most, by one run of each side on each split.",
        ),
    ] = None,
    files: From = [],
    plugin: Plugin = [],
) -> None:
    """Compare two methods or runs: the paired difference with its interval, the people it helps, and what differs most."""
    check_choices(style)
    from benchmarks.reporting.comparison import compare, grid, queries_grid, sentence
    from benchmarks.reporting.grid import page, paragraph

    for found in compare(one, other, current_or_exported(files, named=(one, other)), dataset, protocol):
        if text := paragraph(sentence(found), style):
            print(f"{text}\n")
        print(page([grid(found), queries_grid(found)], style))
        if to is not None:
            for split, queries in found.most_different_by_split().items():
                for side in found.sides:
                    run = next(run for run in side if run.experiment.test_split == split)
                    _draw_differing(run.name, queries, protocol, to / run.name)


def _draw_differing(run: str, queries: list[str], protocol: str | None, folder: Path) -> None:
    from benchmarks.reporting.gallery import save
    from benchmarks.scheduling.single_runs import rank_gallery

    _, record, lists = rank_gallery(run, len(queries), protocol, queries, None, None)
    print(save(record, protocol or record.first_protocol, lists, folder))


@records_verbs.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    dataset: Annotated[str | None, typer.Option(help="Export only runs tested on this data set.")] = None,
) -> None:
    """Write the finished runs, with the results of each query, to one file. For the runs of a suite: `bench suite export`."""
    from benchmarks.runs.exchange import export_runs
    from benchmarks.runs.find import find_runs

    runs = [(run.folder, run.record) for run in find_runs(datasets=[dataset] if dataset else []) if run.folder]
    print(f"{to}: {number_of(export_runs(runs, to), 'run')}")


@records_verbs.command()
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of `bench records export`.")],
) -> None:
    """Add the runs in these files to the results directory. Runs that it already has stay unchanged."""
    from benchmarks.runs.exchange import merge_file

    for file in files:
        added, kept = merge_file(file, results_dir())
        print(f"{file}: {number_of(added, 'run')} added to {results_dir()}; already there: {kept}")

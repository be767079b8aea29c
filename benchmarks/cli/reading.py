"""Verbs that show what is there and change nothing: list, show, table, verdict, speed, doctor, records export."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from baselines import BASELINES
from baselines.interface.errors import UserError
from benchmarks.data import DATASETS, imported_datasets
from benchmarks.paths import results_dir

from .options import From, Plugin, Protocol, Run, first_line, not_loaded, spread
from .printing import check_choices, digests_at_hand, print_tables, runs_found, suite_page
from .suites import Asked, chosen

verbs = typer.Typer()
records_verbs = typer.Typer(help="Finished runs as one file, to share.", no_args_is_help=True)


@verbs.command("list")
def list_names(plugin: Plugin = []) -> None:
    """Baselines, methods, data sets, recipes, settings and protocols by name, and what each is."""
    from benchmarks.evaluation.ranking import PROTOCOLS
    from benchmarks.experiments.settings import meanings, recipe_summaries

    def show(title: str, lines: dict[str, str]) -> None:
        print(f"{title}\n" + "".join(f"  {name:<20} {summary}".rstrip() + "\n" for name, summary in lines.items()))

    show("Baselines", {name: entry.summary for name, entry in sorted(BASELINES.entries.items())})
    show(
        "Methods",
        {
            "BASELINE": "triplet and cross-entropy on the pooled feature",
            "BASELINE+afa": "the paper's objective, Eq. 6: noise on the motion",
            "BASELINE+afa-motion": "section 4.3's opposite: noise on the coherence",
        },
    )
    datasets = {name: entry.summary for name, entry in DATASETS.entries.items()}
    for entry in DATASETS.entries.values():
        datasets |= entry.longer_names
    show("Data sets", dict(sorted(datasets.items())))
    if imported_datasets():
        show("Imported data sets", dict.fromkeys(imported_datasets(), "your own video"))
    show("Recipes (--recipe NAME, or a TOML file)", recipe_summaries())
    show("Settings (--set NAME=VALUE)", meanings())
    show("Protocols", {name: protocol.note for name, protocol in PROTOCOLS.items()})


@verbs.command()
def show(run: Run, plugin: Plugin = []) -> None:
    """One finished run: results under every protocol, settings, cost, and where it was made."""
    from benchmarks.reporting.show import describe
    from benchmarks.runs import records

    folder, record = records.find(run, results_dir())
    print(describe(record, records.stale(record, digests_at_hand([record]))))
    print(f"\n{folder.path}")
    _say_unknown([record])


@verbs.command()
@spread
def table(
    asked: Asked,
    suite: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="A name from `bench suite list`.")] = None,
    protocol: Protocol = None,
    style: Annotated[str, typer.Option("--format", help="terminal, github, latex, html or csv")] = "terminal",
    feature: Annotated[str, typer.Option(help="before or after batch normalisation")] = "before",
    files: From = [],
) -> None:
    """A suite's table beside the paper's; without a name all finished runs. Those not finished are named below.

    --seeds, --quick, --recipe, --set and --root are a suite's, as `bench suite run` takes them; --dataset without a suite: that
    data set's runs alone.
    """
    from benchmarks.runs.unfinished import unfinished

    check_choices(style, feature)
    if suite is not None:
        print(suite_page(*chosen(suite, asked), files, asked.root, protocol, feature, style))
        return
    for option, said in (
        ("--root", asked.root),
        ("--recipe", asked.recipe),
        ("--set", asked.change),
        ("--quick", asked.quick),
    ):
        if said:
            raise UserError(f"{option}: chooses among a suite's experiments; name the SUITE, or leave it out")
    try:
        found = [run.record for run in runs_found([], asked.dataset, files)]
        print_tables(found, protocol, style, feature, from_file=bool(files))
        if not files:
            _say_unknown(found)
    finally:
        for begun in [] if files else unfinished(results_dir()):
            if not asked.dataset or begun.experiment.test in asked.dataset:
                print(f"not finished: {begun}", file=sys.stderr)


@verbs.command()
def verdict(
    dataset: Annotated[str | None, typer.Option(help="Only what was trained or tested on this data set.")] = None,
    protocol: Protocol = None,
    style: Annotated[str, typer.Option("--format", help="terminal, github, latex, html or csv")] = "terminal",
    files: From = [],
    plugin: Plugin = [],
) -> None:
    """The paper's claims one by one: the effect, its interval, the paper's, and what may be said of it."""
    check_choices(style, "before")
    from functools import partial

    from benchmarks.reporting.grid import page
    from benchmarks.reporting.verdict import grids, judge
    from benchmarks.runs import records
    from benchmarks.suites import controls

    runs = runs_found([], [], files)
    if not files:
        digests = digests_at_hand([run.record for run in runs])
        everything, runs = runs, [run for run in runs if not records.stale(run.record, digests)]
        if len(runs) < len(everything):
            print(f"bench: {len(everything) - len(runs)} stale runs left out (bench table)", file=sys.stderr)
    found = [run for run in runs if dataset in (None, run.experiment.dataset, run.experiment.test)]
    judged = judge(found, protocol, partial(controls.standing, [run.record for run in runs]))
    if not judged:
        raise UserError(f"nothing to judge: no finished run of ours{f' on {dataset}' if dataset else ''}")
    print(page(list(grids(judged)), style))


@verbs.command()
def speed(
    style: Annotated[str, typer.Option("--format", help="terminal, github, latex, html or csv")] = "terminal",
    file: Annotated[
        Path | None, typer.Option("--from", help="Default: the newest that `make speed` kept here.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Keep what the table shows, as JSON.")] = None,
    on_gpu: Annotated[
        Path | None,
        typer.Option("--gpu", metavar="FILE", help="Instead: the record of `python -m benchmarks.speed.gpu`."),
    ] = None,
) -> None:
    """What `make speed` measured: each step beside its limit in the same run, and whether its target is met."""
    check_choices(style, "before")
    if on_gpu is not None:
        from benchmarks.reporting import gpu

        try:
            print(gpu.text(on_gpu, style))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"--gpu {on_gpu}: not a record of `python -m benchmarks.speed.gpu`") from error
        return
    from benchmarks.reporting import speed
    from benchmarks.reporting.grid import page

    measured = speed.read(file or speed.newest())
    if to is not None:
        speed.write(measured, to)
    print(page([speed.grid(measured)], style))


@verbs.command()
def doctor(
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Train three methods where the truth is known (minutes on two cores), and judge all that was.",
        ),
    ] = False,
) -> None:
    """What is here (weights, data, folders, threads, GPU), and what to do about what is not. Status 1: something must be."""
    first_line("looking around")
    from benchmarks.doctor import FAIL, diagnose

    checks = []
    for check in diagnose():
        checks.append(check)
        print(f"{check.mark:<5} {check.subject:<31} {check.state}")
        if not check.good:
            print(f"{'':<5} {'':<31} -> {check.remedy}")
    failures = _controls() if controls else []
    raise typer.Exit(1 if failures or any(check.mark == FAIL for check in checks) else 0)


def _controls() -> list[str]:
    from benchmarks.progress import show_progress
    from benchmarks.runs import records
    from benchmarks.suites.controls import is_control, judge, lacking, run_quick

    with show_progress() as report:
        run_quick(report)
    run = list(filter(is_control, records.finished(results_dir())))
    digests = digests_at_hand(run)
    found = [record for record in run if not records.stale(record, digests)]
    print()
    print_tables(found)
    failures = judge(found)
    left = ", ".join(name for name in BASELINES.names() if lacking(found, [name]))
    print(f"\nnot all run here, of: {left} (bench suite run controls; bench verdict asks for them)" * bool(left))
    print("\n" + "\n".join(f"CONTROL FAILED: {line}" for line in failures) if failures else "\nok    controls")
    if failures:
        print("No comparison of methods made here means anything until this is understood.")
    return failures


@records_verbs.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
) -> None:
    """Write the finished runs, results a query included, to one file. Of one suite: `bench suite export`."""
    from benchmarks.runs import exchange

    found = runs_found([], [dataset] if dataset else [], [])
    runs = [(run.folder, run.record) for run in found if run.folder]
    exchange.export(runs, to)
    print(f"{to}: {len(runs)} runs")


@records_verbs.command()
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of `bench records export`.")],
) -> None:
    """Put a co-author's runs beside your own. Those that are here already are left as they are."""
    from benchmarks.runs import exchange

    for file in files:
        added, kept = exchange.merge(file, results_dir())
        print(f"{file}: {added} runs added to {results_dir()}, {kept} were there")


def _say_unknown(found: list[dict]) -> None:
    """Of how many runs it cannot be said whether other code made them, because of what is not here: a line each."""
    for hint, count in Counter(filter(None, map(not_loaded, found))).items():
        print(
            f"bench: whether {count} run{'s are' if count > 1 else ' is'} current cannot be said: {hint}",
            file=sys.stderr,
        )

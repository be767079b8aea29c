"""Verbs that show what is available: list, doctor, speed."""

from pathlib import Path
from typing import Annotated

import typer

from baselines.interface.errors import UserError

from .options import Plugin, Style, first_line
from .printing import check_choices, print_tables

verbs = typer.Typer()

METHODS = {
    "BASELINE": "triplet and cross-entropy loss on the pooled feature",
    "BASELINE+afa": "the paper's objective, Eq. 6: noise on the motion",
    "BASELINE+afa-motion": "the opposite objective of section 4.3: noise on the coherence",
}


@verbs.command("list")
def list_names(plugin: Plugin = []) -> None:
    """List the baselines, backbones, matchers, methods, data sets, recipes, settings and protocols, one per line."""
    from baselines import BASELINES, MATCHERS
    from baselines.backbones import BACKBONES
    from benchmarks.data import DATASETS, import_summary, imported_datasets
    from benchmarks.evaluation.protocols import PROTOCOLS
    from benchmarks.experiments.own_settings import own_defaults
    from benchmarks.experiments.recipe_files import recipe_summaries
    from benchmarks.experiments.settings import meanings

    def show(title: str, lines: dict[str, str]) -> None:
        print(f"{title}\n" + "".join(f"  {name:<20} {summary}".rstrip() + "\n" for name, summary in lines.items()))

    show("Baselines", {name: _about(name) for name in BASELINES.names()})
    backbones = {name: entry.summary for name, entry in BACKBONES.entries.items() if not entry.longer_names}
    for entry in BACKBONES.entries.values():
        backbones |= entry.longer_names
    show("Backbones (--backbone NAME)", dict(sorted(backbones.items())))
    matchers = {name: f"{entry.summary}{_source(entry.docstring)}" for name, entry in sorted(MATCHERS.entries.items())}
    show("Matchers (--set matcher=NAME)", matchers)
    show("Methods", METHODS)
    datasets = {name: entry.summary for name, entry in DATASETS.entries.items()}
    for entry in DATASETS.entries.values():
        datasets |= entry.longer_names
    show("Data sets", dict(sorted(datasets.items())))
    if imported_datasets():
        show("Imported data sets", {name: import_summary(name) for name in imported_datasets()})
    show("Recipes (--recipe NAME, or a TOML file)", recipe_summaries())
    own = {key: f"default {value}" for name in BASELINES.names() for key, value in own_defaults(name).items()}
    show("Settings (--set NAME=VALUE)", meanings() | own)
    show("Protocols", {name: protocol.note for name, protocol in PROTOCOLS.items()})


def _source(docstring: str) -> str:
    """The source of a matcher, from its docstring."""
    from baselines import said_in

    source = said_in(docstring).get("Source")
    return f" [source: {source}]" if source else ""


def _about(name: str) -> str:
    """A baseline's summary, whether it reads order, its family, its source and what it needs."""
    from baselines import BASELINES, facts_of

    entry, facts = BASELINES.entry(name), facts_of(name)
    order = " (reads order)" if entry.reads_order else ""
    parts = {"family": facts.family, "source": facts.source, "needs": ", ".join(facts.needs)}
    said = "; ".join(f"{key}: {text}" for key, text in parts.items() if text)
    return f"{entry.summary}{order}{f' [{said}]' if said else ''}"


@verbs.command()
def doctor(
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Also train three methods on data with a known result (minutes on two cores), and check all runs on it.",
        ),
    ] = False,
) -> None:
    """Check weights, data, folders, threads and GPU, and say how to fix what is missing.

    The exit status is 1 if something necessary is missing.
    """
    first_line("checking this machine")
    from benchmarks.doctor import FAIL, diagnose

    failed = False
    for check in diagnose():
        failed |= check.mark == FAIL
        print(f"{check.mark:<5} {check.subject:<31} {check.state}")
        if not check.good:
            print(f"{'':<5} {'':<31} -> {check.remedy}")
    if controls:
        failed |= not _print_controls()
    raise typer.Exit(1 if failed else 0)


def _print_controls() -> bool:
    """Run the controls and print what they show; whether all are as expected."""
    from benchmarks.doctor import check_controls

    check = check_controls()
    print()
    print_tables(check.records)
    if check.incomplete:
        names = ", ".join(check.incomplete)
        print(
            f"\nbaselines with missing controls: {names} (`bench suite run controls` runs them; `bench verdict` needs them)"
        )
    print(
        "\n" + "\n".join(f"CONTROL FAILED: {line}" for line in check.failures) if check.failures else "\nok    controls"
    )
    if check.failures:
        print("Comparisons of methods on this machine mean nothing until this is explained.")
    return not check.failures


@verbs.command()
def speed(
    style: Style = "terminal",
    file: Annotated[
        Path | None,
        typer.Option("--from", help="The measurements to show. Default: the newest that `make speed` saved here."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Also write the measurements to this JSON file.")
    ] = None,
    on_gpu: Annotated[
        Path | None,
        typer.Option("--gpu", metavar="FILE", help="Show this record of `python -m benchmarks.speed.gpu` instead."),
    ] = None,
) -> None:
    """Show what `make speed` measured: each step, its limit in the same run, and whether the step meets its target."""
    check_choices(style)
    if on_gpu is not None:
        from benchmarks.reporting import gpu

        try:
            print(gpu.text(on_gpu, style))
        except (UserError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"--gpu {on_gpu}: not a record of `python -m benchmarks.speed.gpu`") from error
        return
    from benchmarks.reporting import speed
    from benchmarks.reporting.grid import page

    measured = speed.read(file or speed.newest())
    if to is not None:
        speed.write(measured, to)
    print(page([speed.grid(measured)], style))

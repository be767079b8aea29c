"""Verbs that show what is there and change nothing: list, show, table, doctor, records export."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from baselines import BASELINES
from baselines.errors import UserError
from benchmarks.data import DATASETS, imported

from .options import Plugin, Protocol, Run, first_line, not_loaded
from .printing import digests_at_hand, print_tables

verbs = typer.Typer()
records_verbs = typer.Typer(help="Finished runs as one file, to share.", no_args_is_help=True)


@verbs.command("list")
def list_names(plugin: Plugin = []) -> None:
    """Baselines, methods, data sets, recipes, settings and protocols by name, and what each is."""
    from benchmarks.evaluation import PROTOCOLS
    from benchmarks.settings import meanings, recipe_summaries

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
    show("Data sets", {name: entry.summary for name, entry in sorted(DATASETS.entries.items())} | WALKERS)
    if imported():
        show("Imported data sets", dict.fromkeys(imported(), "your own video"))
    show("Recipes (--recipe NAME, or a TOML file)", recipe_summaries())
    show("Settings (--set NAME=VALUE)", meanings())
    show("Protocols", {name: protocol.note for name, protocol in PROTOCOLS.items()})


# What may follow the name of a drawn data set.
WALKERS = {
    "  @WORLD": "of the drawn walkers: walkers@2 has other cameras, clothes and people than walkers, world 1",
    "  :SIZE": "of the drawn walkers: walkers:tiny for tests, :demo (the default), :mars with as many people as MARS",
    "  :HEIGHTxWIDTH": "of the drawn walkers: walkers:256x128, walkers@2:tiny-128x64, in other numbers of pixels",
}


@verbs.command()
def show(run: Run, plugin: Plugin = []) -> None:
    """One finished run: results under every protocol, settings, cost, and where it was made."""
    from benchmarks import records
    from benchmarks.reporting.show import describe

    folder, record = records.find(run, records.results())
    print(describe(record, records.stale(record, digests_at_hand([record]))))
    print(f"\n{folder.path}")
    if hint := not_loaded(record):
        print(f"bench: whether it is current cannot be said: {hint}", file=sys.stderr)


@verbs.command()
def table(
    protocol: Protocol = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    style: Annotated[str, typer.Option("--format", help="terminal, github or csv")] = "terminal",
    feature: Annotated[str, typer.Option(help="before or after batch normalisation")] = "before",
    file: Annotated[Path | None, typer.Option("--from", help="A file of `bench records export`.")] = None,
    plugin: Plugin = [],
) -> None:
    """The finished runs: methods down, R1 to R20 and mAP across. Those not finished are named below."""
    from benchmarks import records

    try:
        print_tables(_finished(dataset, file), protocol, style, feature)
    finally:
        for begun in [] if file else records.unfinished(records.results()):
            if dataset in (None, begun.experiment.test):
                print(f"not finished: {begun}", file=sys.stderr)


@verbs.command()
def doctor() -> None:
    """What is here (weights, data, folders, threads, GPU), and what to do about what is not. Status 1: something must be."""
    first_line("looking around")
    from benchmarks.doctor import FAIL, look

    findings = []
    for finding in look():
        findings.append(finding)
        print(f"{finding.mark:<5} {finding.subject:<31} {finding.state}")
        if not finding.good:
            print(f"{'':<5} {'':<31} -> {finding.remedy}")
    raise typer.Exit(1 if any(finding.mark == FAIL for finding in findings) else 0)


@records_verbs.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
) -> None:
    """Write the finished runs, results a query included, to one file."""
    from benchmarks import records

    found = _finished(dataset)
    records.export([(records.RunFolder(records.results() / record["name"]), record) for record in found], to)
    print(f"{to}: {len(found)} runs")


def _finished(dataset: str | None, file: Path | None = None) -> list[dict]:
    from benchmarks import records

    everything = records.exported(file) if file else records.finished(records.results())
    found = [record for record in everything if dataset in (None, record["experiment"]["test"])]
    if not found:
        raise UserError(f"no finished runs in {file or records.results()}{f' on {dataset}' if dataset else ''}")
    return found

"""Verbs that draw finished runs: figure, gallery, report."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baselines.interface.errors import UserError

from .options import From, Plugin, Protocol, Root, Run, Workers, add_plugins, first_line
from .printing import current_or_exported, state_finder

if TYPE_CHECKING:
    from benchmarks.reporting.figures.figure import Figure
    from benchmarks.reporting.verdict import JudgedClaim
    from benchmarks.runs.finished import FinishedRun

verbs = typer.Typer()

NoImages = Annotated[
    bool, typer.Option("--no-images", help="Write no frame of the data set: the lists only name the tracklets.")
]


@verbs.command()
def figure(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FIGURE",
            help="cmc, training, fig3a, fig3b, sources, order, distill, families, cues, systems or forest.",
        ),
    ],
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="The names of finished runs. Default: all that are not stale.")
    ] = [],
    dataset: Annotated[str | None, typer.Option(help="Draw only runs tested on this data set.")] = None,
    protocol: Protocol = None,
    file: From = [],
    to: Annotated[
        Path, typer.Option(help="A .png, .pdf or .svg file; or a folder, to write all three formats.")
    ] = Path("figures"),
    plugin: Plugin = [],
) -> None:
    """Draw a figure of finished runs: their curves (cmc, training), the figure of a suite, or the verdict (forest)."""
    first_line(name)
    from benchmarks.reporting.drawing import SUFFIXES, save
    from benchmarks.reporting.figures import cues, curves, forest, sources, sweeps, systems
    from benchmarks.runs.find import find_runs

    known: dict[str, Callable[[list[FinishedRun]], Figure]] = {
        "cmc": partial(curves.cmc, protocol=protocol),
        "training": curves.training,
    }
    of_claims = {"forest": forest.forest, "families": forest.families}
    known |= {key: partial(_of_claims, each, protocol, dataset) for key, each in of_claims.items()}
    for draw in (
        *(sweeps.fig3a, sweeps.fig3b, sources.sources, sources.order),
        *(sweeps.distill, cues.cues, systems.systems),
    ):
        known[draw.__name__] = partial(draw, dataset=dataset, protocol=protocol)
    if name not in known:
        raise UserError(f"no figure {name!r}; choose {', '.join(known)}")
    if to.suffix and to.suffix[1:] not in SUFFIXES and not to.is_dir():
        raise UserError(f"--to {to}: use the suffix .{', .'.join(SUFFIXES)}, or name a folder")
    controlled = {*of_claims, "sources", "order"}  # their controls ran on other data sets
    datasets = [dataset] if dataset and name not in controlled else []
    drawn = known[name](find_runs(runs, datasets, file) if runs else current_or_exported(file, datasets))
    for panel in drawn.panels:
        if panel.empty:
            print(f"bench: {panel.title or name} is empty: {panel.empty}", file=sys.stderr)
    for written in save(drawn, to):
        print(written)
    if drawn.notes:
        print("", *(f"- {note}" for note in drawn.notes), sep="\n")


def _of_claims(
    draw: "Callable[[list[JudgedClaim]], Figure]", protocol: str | None, dataset: str | None, runs: "list[FinishedRun]"
) -> "Figure":
    from benchmarks.reporting.verdict import judge

    return draw(judge(runs, protocol, dataset))


@verbs.command()
def gallery(
    run: Run,
    queries: Annotated[int, typer.Option(min=1, help="The number of queries to show, worst first.")] = 10,
    query: Annotated[
        list[str], typer.Option(help="Show this query instead, by the name of its tracklet. Can be repeated.")
    ] = [],
    protocol: Protocol = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to write to. Default: gallery/ in the run's folder.")
    ] = None,
    no_images: NoImages = False,
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Draw the first 10 gallery tracklets of a finished run's worst queries, as strips of frames on one HTML page."""
    first_line(run)
    from benchmarks.reporting.gallery import save
    from benchmarks.scheduling.single_runs import rank_gallery

    folder, record, lists = rank_gallery(run, queries, protocol, query, root, workers)
    print(save(record, protocol or record.first_protocol, lists, to or folder.gallery, images=not no_images))


@verbs.command()
def report(
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")],
    file: From = [],
    no_images: NoImages = False,
    plugin: Plugin = [],
) -> None:
    """Write a web site of the finished runs: verdict, tables, every run, figures. It needs no network."""
    first_line(f"report in {to}")
    from benchmarks.progress import show_progress
    from benchmarks.reporting.report import write
    from benchmarks.runs.find import available_digests, find_runs

    if (to.exists() and not to.is_dir()) or (to.is_dir() and any(to.iterdir()) and not (to / "report.css").exists()):
        raise UserError(
            f"--to {to}: contains something other than a report; name a new folder, or that of an earlier report"
        )
    runs = find_runs(files=file)
    digests = None if file else available_digests([run.record for run in runs])
    with show_progress() as progress:
        count = partial(progress, "report", note="runs")
        print(write(runs, to, digests, state_finder(file), count, not no_images, partial(add_plugins, plugin)))

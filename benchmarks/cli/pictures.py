"""Verbs that draw: figure, gallery, report."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from baselines.interface.errors import UserError

from .options import From, Plugin, Protocol, Root, Run, Workers, find_loaded, first_line, machine

verbs = typer.Typer()


@verbs.command()
def figure(
    name: Annotated[str, typer.Argument(metavar="FIGURE", help="cmc, training, fig3a or fig3b.")],
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Finished runs, by name. Default: all.")] = [],
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    protocol: Protocol = None,
    file: From = [],
    to: Annotated[Path, typer.Option(help="A .png, .pdf or .svg; or a folder, for all three.")] = Path("figures"),
) -> None:
    """Draw finished runs: match by rank, loss by epoch, or the paper's Fig. 3 from whatever values were tried."""
    first_line(name)
    from functools import partial

    from benchmarks.reporting import figures
    from benchmarks.reporting.drawing import SUFFIXES, save
    from benchmarks.runs.finished import Found

    from .printing import runs_found

    known: dict[str, Callable[[list[Found]], figures.Figure]] = {
        "cmc": partial(figures.cmc, protocol=protocol),
        "training": figures.training,
        "fig3a": partial(figures.fig3a, dataset=dataset, protocol=protocol),
        "fig3b": partial(figures.fig3b, dataset=dataset, protocol=protocol),
    }
    if name not in known:
        raise UserError(f"no figure {name!r}; choose {', '.join(known)}")
    if to.suffix and to.suffix[1:] not in SUFFIXES and not to.is_dir():
        raise UserError(f"--to {to}: end it in .{', .'.join(SUFFIXES)}, or name a folder")
    for written in save(known[name](runs_found(runs, [dataset] if dataset else [], file)), to):
        print(written)


@verbs.command()
def gallery(
    run: Run,
    queries: Annotated[int, typer.Option(min=1, help="How many, worst first.")] = 10,
    query: Annotated[list[str], typer.Option(help="This query, by its tracklet's name; several times for more.")] = [],
    protocol: Protocol = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: gallery/ in the run's folder.")] = None,
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """The first 10 gallery tracklets of a finished run's worst queries, as strips of frames on one page."""
    first_line(run)
    from benchmarks.data.loading import load
    from benchmarks.progress import show_progress
    from benchmarks.reporting.gallery import save
    from benchmarks.runs.finished import first_protocol
    from benchmarks.runs.ranked_lists import ranked

    source, record = find_loaded(run)
    with show_progress() as report:
        loaded = load(record["experiment"]["test"], record["experiment"]["test_split"], root)
        how = machine(workers, record["experiment"]["settings"]["threads"], report)
        lists = ranked(source, record, loaded, how, queries, protocol, query)
    print(save(record, protocol or first_protocol(record), lists, to or source.gallery))


@verbs.command()
def report(
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")],
    file: From = [],
    plugin: Plugin = [],
) -> None:
    """A static site of the finished runs: verdict, tables, every run, figures. It opens from a file, without a network."""
    first_line(f"report in {to}")
    from benchmarks.progress import show_progress
    from benchmarks.reporting.report import write
    from benchmarks.scheduling.states import from_records

    from .printing import digests_at_hand, look_here, runs_found

    if (to.exists() and not to.is_dir()) or (to.is_dir() and any(to.iterdir()) and not (to / "report.css").exists()):
        raise UserError(
            f"--to {to}: holds something else than a report; name a new folder, or one of an earlier report"
        )
    runs = runs_found([], [], file)
    found = [run.record for run in runs]
    digests, look = (None, from_records(found)) if file else (digests_at_hand(found), look_here())
    with show_progress() as progress:
        print(write(runs, to, digests, look, lambda done, total: progress("report", done, total, "runs")))

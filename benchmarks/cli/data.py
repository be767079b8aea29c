"""Verbs for data sets: stats, verify, pack, import, export."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import DatasetArgument, Plugin, Root, Split, first_line

verbs = typer.Typer(help="Count, verify, pack, import and export data sets.", no_args_is_help=True)


@verbs.command("stats")
def statistics(dataset: DatasetArgument, split: Split = 0, root: Root = None, plugin: Plugin = []) -> None:
    """Show how many identities, cameras, tracklets and frames each subset of a data set has."""
    first_line(dataset)
    from benchmarks.data.loading import load
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    with show_progress() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
    print(counts(loaded.table))
    for note in loaded.dataset.notes(loaded.table):
        print(note)
    print(f"digest {loaded.digest}")


@verbs.command()
def verify(dataset: DatasetArgument, split: Split = 0, root: Root = None, plugin: Plugin = []) -> None:
    """Read a data set from its folder again, and list the errors in its structure, counts, numbering and frames.

    The exit status is 1 if there are errors.
    """
    first_line(dataset)
    from benchmarks.data.verify import conclusion, read_again
    from benchmarks.data.verify import verify as check
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    with show_progress() as report:
        loaded, found = read_again(dataset, split, root, lambda done, total: report("read", done, total, dataset))
        found += check(loaded, lambda done, total: report("verify", done, total, dataset))
    print(counts(loaded.table))
    for note in loaded.dataset.notes(loaded.table):
        print(note)
    for finding in found:
        print(finding)
    print(f"{dataset}: {conclusion(loaded, found)}")
    raise typer.Exit(1 if found else 0)


@verbs.command()
def pack(dataset: DatasetArgument, root: Root = None, plugin: Plugin = []) -> None:
    """Copy the frames of a data set into a few large files in BENCH_CACHE, from which all later runs read.

    The same command resumes an interrupted one.
    """
    first_line(dataset)
    from benchmarks.data.loading import pack as write
    from benchmarks.progress import show_progress

    with show_progress() as report:
        folder = write(dataset, root, lambda done, total: report("pack", done, total, dataset))
    size = sum(file.stat().st_size for file in folder.glob("*.arrow"))
    print(f"{folder}: {size / 1e9:.2f} GB")


@verbs.command("import")
def import_video(
    video: Annotated[Path, typer.Option(help="The video file.")],
    tracks: Annotated[
        Path, typer.Option(help="The bounding boxes of a tracker, as a CSV file with the columns of MOTChallenge.")
    ],
    identities: Annotated[
        Path, typer.Option(help="The identity of each track, as a CSV file with the columns track_id,identity.")
    ],
    name: Annotated[str, typer.Option(help="The name of the new data set.")],
    tracklet_frames: Annotated[int, typer.Option(help="The number of frames in a tracklet.")] = 30,
    train_share: Annotated[
        float, typer.Option(help="The share of the identities to use for training, from 0 to 1.")
    ] = 0.5,
    margin: Annotated[float, typer.Option(help="Extend each box on every side by this share of its size.")] = 0.0,
) -> None:
    """Make a data set from your own video: cut each track into tracklets. Each track counts as a separate camera."""
    first_line(name)
    from benchmarks.data import imported_folder
    from benchmarks.data.import_video import import_video as cut
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    with show_progress() as report:
        made = cut(
            video,
            tracks,
            identities,
            name,
            imported_folder(name),
            tracklet_frames=tracklet_frames,
            train_share=train_share,
            margin=margin,
            progress=lambda done, total: report("import", done, total, name),
        )
    print(counts(made))
    print(f"\nbench run --method mean+afa --dataset {name}")


@verbs.command("export")
def export_layout(
    dataset: DatasetArgument,
    layout: Annotated[str, typer.Option(help="The layout to write: mars, dukev, ilidsvid or prid2011.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    split: Split = 0,
    root: Root = None,
    plugin: Plugin = [],
) -> None:
    """Write a data set with the folders, file names and index files of another data set, for code that reads that one."""
    first_line(f"{dataset} as {layout}")
    from benchmarks.data.export_layouts import export
    from benchmarks.data.loading import load
    from benchmarks.progress import show_progress

    with show_progress() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
        export(loaded, layout, to, lambda done, total: report("export", done, total, str(to)))
    recipe = loaded.dataset.recipe
    print(f"bench run --method mean+afa --dataset {layout} --recipe {recipe} --root {shlex.quote(str(to))}")

"""Verbs on data sets: stats, verify, pack, import, export."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import DatasetArgument, Plugin, Root, Split, first_line

verbs = typer.Typer(help="Data sets: verify, count, import your own video, export.", no_args_is_help=True)


@verbs.command("stats")
def statistics(dataset: DatasetArgument, split: Split = 0, root: Root = None, plugin: Plugin = []) -> None:
    """Counts of a data set's subsets."""
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
    """Read a data set again from its folders; list what is wrong with its structure, counts, numbering and frames."""
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
    """Put a data set's frames into a few large files in BENCH_CACHE, which all runs then read; stopped, it goes on."""
    first_line(dataset)
    from benchmarks.data.loading import pack as write
    from benchmarks.progress import show_progress

    with show_progress() as report:
        folder = write(dataset, root, lambda done, total: report("pack", done, total, dataset))
    size = sum(file.stat().st_size for file in folder.glob("*.arrow"))
    print(f"{folder}: {size / 1e9:.2f} GB")


@verbs.command("import")
def import_video(
    video: Annotated[Path, typer.Option(help="The video.")],
    tracks: Annotated[Path, typer.Option(help="A tracker's boxes, MOTChallenge columns.")],
    identities: Annotated[Path, typer.Option(help="CSV track_id,identity: who each track shows.")],
    name: Annotated[str, typer.Option(help="What to call the data set.")],
    tracklet_frames: Annotated[int, typer.Option(help="Frames a tracklet.")] = 30,
    train_share: Annotated[float, typer.Option(help="Share of the persons for training.")] = 0.5,
    margin: Annotated[float, typer.Option(help="Widen each box by this share of its size on every side.")] = 0.0,
) -> None:
    """Cut your own video into tracklets: each track is a view of its own."""
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
    layout: Annotated[str, typer.Option(help="Whose: mars, dukev, ilidsvid or prid2011.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    split: Split = 0,
    root: Root = None,
    plugin: Plugin = [],
) -> None:
    """Write a data set in the folders, names and index files of another, for any code that reads that one."""
    first_line(f"{dataset} as {layout}")
    from benchmarks.data.export_layouts import export
    from benchmarks.data.loading import load
    from benchmarks.progress import show_progress

    with show_progress() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
        export(loaded, layout, to, lambda done, total: report("export", done, total, str(to)))
    recipe = loaded.dataset.recipe
    print(f"bench run --method mean+afa --dataset {layout} --recipe {recipe} --root {shlex.quote(str(to))}")

"""Verbs for data sets: stats, verify, pack, import, export."""

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from baselines.interface.errors import UserError

from .options import DatasetArgument, Plugin, Root, Split, first_line, flatten_options

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


class VideoOptions(NamedTuple):
    """What is imported from a video; the fields are the arguments of `import_video`."""

    video: Annotated[
        Path | None,
        typer.Option(help="A video file, to be cut into tracklets. Each track counts as a separate camera."),
    ] = None
    tracks: Annotated[
        Path | None,
        typer.Option(
            help="With --video: the bounding boxes of a tracker, as a CSV file with the columns of MOTChallenge."
        ),
    ] = None
    identities: Annotated[
        Path | None,
        typer.Option(
            help="With --video: the identity of each track, as a CSV file with the columns track_id,identity."
        ),
    ] = None
    tracklet_frames: Annotated[
        int | None, typer.Option(help="With --video: the number of frames in a tracklet. Default: 30.")
    ] = None
    margin: Annotated[
        float | None,
        typer.Option(help="With --video: extend each box on every side by this share of its size. Default: 0."),
    ] = None


class ImageOptions(NamedTuple):
    """What is imported from images; the fields are the arguments of `import_images`."""

    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of images, each of one person, at any depth.")
    ] = None
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="With --images: a regular expression that matches the path of an image in DIR. Its named groups are pid "
            "and, where the path shows them, subset, camid, tracklet and frame.",
        ),
    ] = None
    csv: Annotated[
        Path | None,
        typer.Option(
            help="With --images, in place of --pattern: a CSV file with the columns pid,frame and, if known, "
            "subset,camid,tracklet. frame is the path of an image in DIR."
        ),
    ] = None
    splits: Annotated[
        int | None,
        typer.Option(
            help="With --images: the number of random divisions into training and test identities. Default: 1."
        ),
    ] = None
    seed: Annotated[int | None, typer.Option(help="With --images: the seed of these divisions. Default: 0.")] = None
    queries: Annotated[
        str | None,
        typer.Option(
            help="With --images: each-camera (the default) makes the first tracklet of a test identity in each camera a "
            "query; first-camera only that in its first camera. All others are the gallery."
        ),
    ] = None
    distractor: Annotated[
        list[str],
        typer.Option(
            metavar="PID",
            help="With --images: an identity that is never a query, only in the gallery. Can be repeated.",
        ),
    ] = []


@verbs.command("import")
@flatten_options
def import_dataset(
    name: Annotated[str, typer.Option(help="The name of the new data set.")],
    video: VideoOptions,
    images: ImageOptions,
    train_share: Annotated[
        float | None, typer.Option(help="The share of the identities to use for training, from 0 to 1. Default: 0.5.")
    ] = None,
    note: Annotated[str, typer.Option(help="A caution, in one line, that every table of its results prints.")] = "",
) -> None:
    """Make a data set from your own video, or from a folder of images."""
    first_line(name)
    from benchmarks.data import imported_folder
    from benchmarks.data.import_images import import_images
    from benchmarks.data.import_video import import_video
    from benchmarks.data.imported import ImportedDataset
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    of_video, of_images = _given(video), _given(images)
    if ("video" in of_video) == ("images" in of_images):
        raise UserError("data import: give --video FILE or --images DIR, one of both")
    if of_video and of_images:
        wrong, kind = (min(of_images), "--images") if "video" in of_video else (min(of_video), "--video")
        raise UserError(f"--{wrong.replace('_', '-')}: applies to {kind} only; omit it")
    if of_video and not {"tracks", "identities"} <= set(of_video):
        raise UserError("--video: needs --tracks and --identities, to say where each person is")
    make = partial(import_video, **of_video) if of_video else partial(import_images, **of_images)
    chosen = {} if train_share is None else {"train_share": train_share}
    with show_progress() as report:
        made = make(
            name=name,
            to=imported_folder(name),
            note=note,
            progress=lambda done, total: report("import", done, total, name),
            **chosen,
        )
    print(counts(made))
    for remark in ImportedDataset(name).notes(made):
        print(remark)
    print(f"\nbench run --method mean+afa --dataset {name}")


def _given(options: VideoOptions | ImageOptions) -> dict[str, Any]:
    """The options that the user gave."""
    return {field: value for field, value in options._asdict().items() if value not in (None, [])}


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

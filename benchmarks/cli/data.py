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
    from benchmarks.data.loading import counts_note, load
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    with show_progress() as report:
        progress = partial(report, "read", note=dataset)
        loaded = load(dataset, split, root, progress, features_only=True)
    print(counts(loaded.table, loaded.dataset, split))
    if note := counts_note(dataset, root):
        print(note)
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
    print(counts(loaded.table, loaded.dataset, split))
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
    """What is imported from videos; the fields are the arguments of `pair_videos` and `import_videos`."""

    video: Annotated[
        list[Path],
        typer.Option(
            help="A video file, to be cut into tracklets. Can be repeated, each time with its --tracks and --camera."
        ),
    ] = []
    tracks: Annotated[
        list[Path],
        typer.Option(
            help="With --video: the bounding boxes of a tracker, as a CSV file with the columns of MOTChallenge."
        ),
    ] = []
    camera: Annotated[
        list[int],
        typer.Option(
            min=0,
            help="With --video: the number of its camera. Default for a single video: each track counts as a camera of its own.",
        ),
    ] = []
    identities: Annotated[
        list[Path],
        typer.Option(
            help="With --video: the identity of each track, as a CSV file with the columns track_id,identity; one for "
            "each video, or one for all that also has the column camera. Without it, no identity is known, and the data set "
            "is for feature extraction only."
        ),
    ] = []
    add: Annotated[bool, typer.Option("--add", help="With --video: add the videos to the imported data set NAME.")] = (
        False
    )
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
            help="With --images: a regular expression that matches the path of an image in DIR. It has a named "
            "group for each of subset, pid, camid, tracklet and frame that the path contains.",
        ),
    ] = None
    csv: Annotated[
        Path | None,
        typer.Option(
            help="With --images, in place of --pattern: a CSV file with the column frame, the path of an image in DIR, "
            "and those of the columns subset,pid,camid,tracklet that are known."
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
            "query; first-camera makes only the one in its first camera a query. All others are the gallery."
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
    """Make a data set from your own videos, or from a folder of images."""
    first_line(name)
    from benchmarks.data import imported_folder
    from benchmarks.data.import_images import import_images
    from benchmarks.data.import_video import import_videos, pair_videos
    from benchmarks.data.imported import ImportedDataset
    from benchmarks.progress import show_progress
    from benchmarks.reporting.show import counts

    of_video, of_images = _given(video), _given(images)
    if ("video" in of_video) == ("images" in of_images):
        raise UserError("data import: give either --video FILE or --images DIR")
    if of_video and of_images:
        wrong, kind = (min(of_images), "--images") if "video" in of_video else (min(of_video), "--video")
        raise UserError(f"--{wrong.replace('_', '-')}: applies to {kind} only; omit it")
    make: partial[Any]
    if of_video:
        parts = (of_video.pop(option, []) for option in ("video", "tracks", "identities", "camera"))
        make = partial(import_videos, pair_videos(*parts), **of_video)
    else:
        make = partial(import_images, **of_images)
    with show_progress() as report:
        made = make(
            name=name,
            to=imported_folder(name),
            train_share=train_share,
            note=note,
            progress=lambda done, total: report("import", done, total, name),
        )
    made_from = ImportedDataset(name)
    print(counts(made, made_from))
    for remark in made_from.notes(made):
        print(remark)
    command = "features RUN" if made_from.features_only else "run --method mean+afa"
    print(f"\nbench {command} --dataset {name}")


def _given(options: VideoOptions | ImageOptions) -> dict[str, Any]:
    """The options that the user gave."""
    return {
        field: value
        for field, value in options._asdict().items()
        if value is not None and value is not False and value != []
    }


@verbs.command("export")
def export_layout(
    dataset: DatasetArgument,
    layout: Annotated[str, typer.Option(help="The layout to write: mars, dukev, lsvid, ilidsvid or prid2011.")],
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

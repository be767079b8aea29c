"""`bench`: a function a verb, and nothing else. torch is imported only by the verbs that need it."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baselines import BASELINES
from baselines.errors import UserError

from .data import DATASETS, imported

if TYPE_CHECKING:
    from .progress import Report
    from .run import Machine

app = typer.Typer(
    help="Video person re-identification under one trainer, named protocols and seeds: what a temporal baseline is "
    "worth, with and without Adversarial Feature Augmentation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="A user's error is one line and exit status 2; --debug, anywhere, shows the traceback. "
    "BENCH_DATA: data sets; BENCH_CACHE: what is derived from them; BENCH_RESULTS: runs (results/runs).",
)
data = typer.Typer(help="Data sets: verify, count, import your own video.", no_args_is_help=True)
runs = typer.Typer(help="Finished runs as one file, to share.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(runs, name="records")


STOPPED = 130  # exit status after SIGINT, as shells have it


def _plug_in(files: list[Path]) -> list[Path]:
    for file in files:
        if not BASELINES.add_file(file) + DATASETS.add_file(file):
            raise UserError(f"--plugin {file}: registers no baseline and no data set; see README, 'Add a baseline'")
    return files


Dataset = Annotated[str, typer.Option("--dataset", help="A name from `bench list`.")]
Root = Annotated[Path | None, typer.Option(help="The data set's folder, where it is not below BENCH_DATA.")]
Split = Annotated[int, typer.Option(help="Which of the data set's splits, from 0.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that decode ahead. Default: the cores that are left over.")
]
Plugin = Annotated[list[Path], typer.Option(callback=_plug_in, help="A Python file with more baselines or data sets.")]
Protocol = Annotated[str | None, typer.Option(help="The protocol to show. Default: the data set's first.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the beginning or end of it, or its folder.")]


@app.command()
def run(
    method: Annotated[str, typer.Option(help="BASELINE, BASELINE+afa or BASELINE+afa-motion.")],
    dataset: Dataset,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or a TOML file. Default: the data set's.")] = None,
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")] = [],
    backbone: Annotated[str | None, typer.Option(help="Short for --set backbone=...")] = None,
    weights: Annotated[str | None, typer.Option(help="imagenet, none, or a safetensors or state-dict file.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Short for --set epochs=...; 0 evaluates without training.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    split: Split = 0,
    root: Root = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again although it is finished.")] = False,
    workers: Workers = None,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 10.0,
    plugin: Plugin = [],
) -> None:
    """Train and evaluate one experiment, or show its result if it has run already."""
    _first_line(f"{method} on {dataset}, seed {seed}")
    from . import records
    from .progress import reporting
    from .run import plan
    from .run import run as execute

    short = {"backbone": backbone, "weights": weights, "epochs": epochs}
    changes = [f"{key}={value}" for key, value in short.items() if value is not None] + change
    with reporting() as report:
        experiment, settings, loaded = plan(
            method, dataset, recipe=recipe, changes=changes, seed=seed, split=split, root=root, report=report
        )
        folder = records.RunFolder(records.results() / experiment.name)
        record = records.read(folder)
        if record is not None and not fresh:
            reasons = records.stale(record, {})
            state = (
                f"stale ({'; '.join(reasons)}); --fresh runs it again" if reasons else "finished before; nothing to run"
            )
            print(f"{experiment.name}: {state}", file=sys.stderr)
        if fresh or record is None:
            machine = _machine(workers, settings.threads, report, checkpoint_minutes)
            record = execute(experiment, settings, loaded, folder, machine, fresh)
    _print_tables([record], None)
    print(f"\n{folder.path}")


@app.command("list")
def list_names(plugin: Plugin = []) -> None:
    """Baselines, attachments, data sets, recipes and protocols by name."""
    from .settings import recipe_names

    def show(title: str, lines: dict[str, str]) -> None:
        print(f"{title}\n" + "".join(f"  {name:<20} {summary}\n" for name, summary in lines.items()))

    show("Baselines", {name: entry.summary for name, entry in sorted(BASELINES.entries.items())})
    show(
        "Methods",
        {
            "BASELINE": "triplet and cross-entropy on the pooled feature",
            "BASELINE+afa": "the paper's objective, Eq. 6: noise on the motion",
            "BASELINE+afa-motion": "section 4.3's opposite: noise on the coherence",
        },
    )
    show("Data sets", {name: entry.summary for name, entry in sorted(DATASETS.entries.items())})
    if imported():
        show("Imported data sets", dict.fromkeys(imported(), ""))
    show("Recipes", dict.fromkeys(recipe_names(), ""))
    show(
        "Protocols", {"official": "MARS's own", "standard": "gallery without the queries", "full": "gallery with them"}
    )


@app.command("eval")
def evaluate(
    run: Run,
    dataset: Dataset,
    split: Split = 0,
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Evaluate a finished run's model on another data set."""
    _first_line(f"{run} on {dataset}")
    from . import records
    from .data.loading import load
    from .progress import reporting
    from .run import evaluate_elsewhere

    source, record = records.find(run, records.results())
    with reporting() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
        machine = _machine(workers, record["experiment"]["settings"]["threads"], report)
        record = evaluate_elsewhere(source, record, loaded, records.results(), machine)
    _print_tables([record], None)


@app.command()
def score(
    query: Annotated[Path, typer.Option(help="npz or parquet: feature, pid, camid, tracklet.")],
    gallery: Annotated[Path, typer.Option(help="The same, of the gallery.")],
    method: Annotated[str, typer.Option(help="What to call it in tables.")] = "external",
    dataset: Annotated[str, typer.Option(help="The data set's name in tables.")] = "external",
    metric: Annotated[str, typer.Option(help="euclidean or cosine")] = "euclidean",
) -> None:
    """Evaluate features that someone else's code made, into a normal record."""
    _first_line(f"{method} on {dataset}")
    from . import records
    from .external import score_files

    _print_tables([score_files(query, gallery, method, dataset, metric, records.results())], None)


@app.command()
def features(
    run: Run,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Export a finished run's query and gallery features, as `bench score` reads them."""
    _first_line(run)
    from . import records
    from .data.loading import load
    from .external import export_features
    from .progress import reporting

    source, record = records.find(run, records.results())
    with reporting() as report:
        loaded = load(record["experiment"]["test"], record["experiment"]["test_split"], root)
        machine = _machine(workers, record["experiment"]["settings"]["threads"], report)
        for file in export_features(source, record, loaded, to, machine):
            print(file)


@app.command()
def show(run: Run, plugin: Plugin = []) -> None:
    """One finished run: results under every protocol, settings, cost, and where it was made."""
    from . import records
    from .reporting.show import describe

    folder, record = records.find(run, records.results())
    print(describe(record, records.stale(record, _digests([record]))))
    print(f"\n{folder.path}")


@app.command()
def table(
    protocol: Protocol = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    style: Annotated[str, typer.Option("--format", help="terminal, github or csv")] = "terminal",
    feature: Annotated[str, typer.Option(help="before or after batch normalisation")] = "before",
    file: Annotated[Path | None, typer.Option("--from", help="A file of `bench records export`.")] = None,
    plugin: Plugin = [],
) -> None:
    """The finished runs: methods down, R1 to R20 and mAP across."""
    from . import records

    found = records.exported(file) if file else records.finished(records.results())
    found = [record for record in found if dataset in (None, record["experiment"]["test"])]
    if not found:
        raise UserError(f"no finished runs in {file or records.results()}{f' on {dataset}' if dataset else ''}")
    _print_tables(found, protocol, style, feature)


@app.command()
def doctor() -> None:
    """What is here (weights, data, folders, threads, GPU), and what to do about what is not."""
    _first_line("looking around")
    from .doctor import look

    for finding in look():
        print(f"{'ok  ' if finding.good else 'MISS'}  {finding.subject:<28} {finding.state}")
        if not finding.good:
            print(f"      {'':<28} -> {finding.remedy}")


@data.command("stats")
def statistics(
    dataset: Annotated[str, typer.Argument()], split: Split = 0, root: Root = None, plugin: Plugin = []
) -> None:
    """Counts of a data set's subsets."""
    _first_line(dataset)
    from .data.loading import load
    from .progress import reporting
    from .reporting.show import counts

    with reporting() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
    print(counts(loaded.table))
    for note in loaded.definition.notes(loaded.table):
        print(note)
    print(f"digest {loaded.digest}")


@data.command()
def verify(dataset: Annotated[str, typer.Argument()], split: Split = 0, root: Root = None, plugin: Plugin = []) -> None:
    """Read a data set again from its folders, compare its counts with the published ones, and read every frame."""
    _first_line(dataset)
    from .data.loading import load
    from .data.verify import verify as check
    from .progress import reporting
    from .reporting.show import counts

    with reporting() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset), fresh=True)
        found = check(
            loaded.definition,
            loaded.root,
            loaded.table,
            loaded.store,
            lambda done, total: report("verify", done, total, dataset),
        )
    print(counts(loaded.table))
    for note in loaded.definition.notes(loaded.table):
        print(note)
    for finding in found:
        print(finding)
    print(f"{dataset}: {len(found)} findings" if found else f"{dataset}: as published, every frame reads")
    raise typer.Exit(1 if found else 0)


@data.command("import")
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
    _first_line(name)
    from .data import imported_folder
    from .data.video import import_video as cut
    from .progress import reporting
    from .reporting.show import counts

    if not re.fullmatch(r"\w[\w.-]*", name) or name in DATASETS.entries:
        raise UserError(f"--name {name}: taken, or not made of letters, digits, '.', '_' and '-'; choose another")
    with reporting() as report:
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


@runs.command()
def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
) -> None:
    """Write the finished runs, results a query included, to one file."""
    from . import records

    place = records.results()
    found = [record for record in records.finished(place) if dataset in (None, record["experiment"]["test"])]
    if not found:
        raise UserError(f"no finished runs in {place}{f' on {dataset}' if dataset else ''}")
    records.export([(records.RunFolder(place / record["name"]), record) for record in found], to)
    print(f"{to}: {len(found)} runs")


def _first_line(text: str) -> None:
    """Something on the screen before torch loads, which takes seconds."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _machine(workers: int | None, threads: int, report: "Report", checkpoint_minutes: float = 10.0) -> "Machine":
    from .run import Machine

    if workers is None:
        workers = max(0, min(8, len(os.sched_getaffinity(0)) - threads))
    return Machine(workers, checkpoint_minutes, report)


def _digests(found: list[dict]) -> dict[str, set[str]]:
    """The digests of the data at hand that the records speak of, as far as it was read here before."""
    from .data.loading import known_digests

    experiments = [record["experiment"] for record in found]
    wanted = {
        pair for each in experiments for pair in ((each["dataset"], each["split"]), (each["test"], each["test_split"]))
    }
    known = {f"{name}/{split}": known_digests(name, split) for name, split in wanted}
    return {key: digests for key, digests in known.items() if digests}


def _print_tables(found: list[dict], protocol: str | None, style: str = "terminal", feature: str = "before") -> None:
    from .reporting.table import FEATURES, STYLES, render, tables

    if style not in STYLES:
        raise UserError(f"--format {style}: choose {', '.join(STYLES)}")
    if feature not in FEATURES:
        raise UserError(f"--feature {feature}: choose {', '.join(FEATURES)}")
    made = tables(found, protocol, _digests(found), feature)
    if not made:
        raise UserError(f"--protocol {protocol}: none of the runs has it")
    print("\n\n".join(render(each, style) for each in made))


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.UserError: ")


def main() -> None:
    """The `bench` command."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        status = app(standalone_mode=False) or 0
        if status == STOPPED:
            print("bench: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(status)
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            raise
        usage = getattr(error, "format_message", None)  # a wrong option or verb; a bare `bench` has its help as message
        if isinstance(error, OSError) and error.filename and not isinstance(error, BrokenPipeError):
            print(f"bench: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        if isinstance(error, UserError) or usage is not None:
            text = usage() if usage else str(error)
            # From a worker process an error comes with the worker's traceback before its own line.
            print(f"bench: {text if usage else _last_line(text)}", file=sys.stderr)
            sys.exit(2)
        if type(error).__name__ in ("KeyboardInterrupt", "Abort", "Stopped"):
            print(f"bench: {str(error) or 'stopped'}; the same command goes on from there", file=sys.stderr)
            sys.exit(STOPPED)
        print(f"bench: {type(error).__name__}: {error} (a fault of the program; --debug shows where)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Verbs that train, evaluate and export models, and evaluate features of other code: run, eval, score, features, export."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.parsing import LARGEST
from benchmarks.paths import results_dir

from .options import Change, Dataset, Plugin, Recipe, Root, Run, SkipBad, Split, Workers, first_line
from .printing import exit_if_missing, print_record

verbs = typer.Typer()
NOT_AS_EXPECTED = 3  # an exit status


@verbs.command()
def run(
    method: Annotated[str, typer.Option(help="BASELINE, BASELINE+afa or BASELINE+afa-motion.")],
    dataset: Dataset,
    recipe: Recipe = None,
    change: Change = [],
    backbone: Annotated[str | None, typer.Option(help="Short for --set backbone=NAME.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="The backbone's initial weights: imagenet, none, or a file (safetensors or a state dict)."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Short for --set epochs=NUMBER. 0 evaluates the model without training it.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="float32, or bf16 if the machine supports it.")] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST,
            help="The seed for weights, batches and augmentation; `bench submit --method METHOD --seeds N` runs several.",
        ),
    ] = 0,
    split: Split = 0,
    test: Annotated[
        str | None,
        typer.Option(help="After training, evaluate the model on this other data set, as `bench eval` does."),
    ] = None,
    root: Root = None,
    skip_bad: SkipBad = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again, even if the run has finished.")] = False,
    workers: Workers = None,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 10.0,
    expect: Annotated[
        list[str],
        typer.Option(
            metavar="METRIC=VALUE+-TOLERANCE",
            help="The expected result in percent, such as mAP=61.0+-2.0, under the data set's first protocol. If the result "
            "differs, the exit status is 3. Can be repeated.",
        ),
    ] = [],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the time, the GPU memory, and what is missing (then the exit status is 2); run nothing.",
        ),
    ] = False,
    plugin: Plugin = [],
) -> None:
    """Train and evaluate one experiment. If it has already finished, show its result."""
    from benchmarks.runs.expectation import parse_expectation

    expectations = [parse_expectation(text) for text in expect]  # before the training, so that an error is found early
    first_line(f"{method} on {dataset}, seed {seed}")
    short = {"backbone": backbone, "weights": weights, "epochs": epochs, "precision": precision}
    changes = [f"{key}={value}" for key, value in short.items() if value is not None] + change
    if dry_run:
        from benchmarks.scheduling.preflight import describe
        from benchmarks.scheduling.selection import select

        selection = select(None, method=method, datasets=[dataset], seeds=1, recipe=recipe, changes=changes, root=root)
        print("\n".join(describe(selection)))
        exit_if_missing(selection, [test] if test is not None else [])
        return
    from benchmarks.scheduling.single_runs import run_experiment

    result = run_experiment(
        method,
        dataset,
        recipe=recipe,
        changes=changes,
        seed=seed,
        split=split,
        test=test,
        root=root,
        skip_bad=skip_bad,
        fresh=fresh,
        workers=workers,
        checkpoint_minutes=checkpoint_minutes,
    )
    if result.stale:
        print(f"{result.name}: stale ({'; '.join(result.stale)}); --fresh runs it again", file=sys.stderr)
    elif result.was_finished:
        print(f"{result.name}: finished before; nothing to run", file=sys.stderr)
    elif result.warning:
        print(f"{result.name}: {result.warning}", file=sys.stderr)
    print_record(result.record)
    if differences := [line for each in expectations if (line := each.difference(result.record))]:
        print(f"bench: --expect: {'; '.join(differences)}", file=sys.stderr)
        raise typer.Exit(NOT_AS_EXPECTED)


@verbs.command("eval")
def evaluate(
    run: Run,
    dataset: Dataset,
    split: Split = 0,
    root: Root = None,
    skip_bad: SkipBad = False,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Evaluate the model of a finished run on another data set."""
    first_line(f"{run} on {dataset}")
    from benchmarks.scheduling.single_runs import evaluate_run

    print_record(evaluate_run(run, dataset, split, root, workers, skip_bad))


@verbs.command()
def score(
    query: Annotated[
        list[Path],
        typer.Option(
            help="The query features: an npz or parquet file with feature, pid, camid and tracklet. Repeat it with "
            "--gallery for the results of several trainings of one method."
        ),
    ] = [],
    gallery: Annotated[list[Path], typer.Option(help="The gallery features, in the same format.")] = [],
    distances: Annotated[
        list[Path],
        typer.Option(
            help="In place of features: an npz file with distances (queries, gallery), and query_pid, query_camid, "
            "query_tracklet, gallery_pid, gallery_camid and gallery_tracklet. Can be repeated."
        ),
    ] = [],
    method: Annotated[str, typer.Option(help="The method's name in tables, which mark it as external.")] = "theirs",
    dataset: Annotated[str, typer.Option(help="The data set's name in tables.")] = "external",
    metric: Annotated[
        str | None, typer.Option(help="The distance of features: euclidean (the default) or cosine.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The seed of the training. Each further file gets the next seed.")
    ] = 0,
    split: Annotated[int, typer.Option(min=0, help="The train/test split of the data set, counted from 0.")] = 0,
) -> None:
    """Evaluate features or distances that other code computed, and store the results as runs."""
    first_line(f"{method} on {dataset}")
    from benchmarks.runs.external_features import read_results, score_files

    results, settings = read_results(query, gallery, distances, metric)
    for record in score_files(results, settings, method, dataset, results_dir(), seed, split):
        print_record(record)


@verbs.command()
def features(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="The name of a run, the beginning or end of its name, or the path of its folder."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A name from `bench list`. Default: the data set on which the run was tested.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A folder of images, in place of a data set. Each folder in it is a tracklet."
        ),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Without RUN: average the features of frames by this backbone.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="With --backbone: the weights, imagenet or a file (safetensors or a state dict)."),
    ] = None,
    change: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="With --backbone: change one of the paper's settings."),
    ] = [],
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    split: Split = 0,
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Compute the features of tracklets, with a finished run or a backbone alone, and write files that `bench score` can read."""
    first_line(run or backbone or "features")
    from benchmarks.scheduling.single_runs import export_features

    for file in export_features(
        run,
        to,
        backbone=backbone,
        weights=weights,
        changes=change,
        dataset=dataset,
        images=images,
        split=split,
        root=root,
        workers=workers,
    ):
        print(file)


@verbs.command()
def export(
    run: Run,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: .pt for TorchScript, .onnx for ONNX.")],
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Write the model of a finished run, with its preprocessing, to one file; check it, and write its card, FILE.md."""
    first_line(run)
    from benchmarks.scheduling.single_runs import export_model

    difference, card = export_model(run, to, root, workers)
    print(f"{to}: its features differ from the run's by at most {difference:.1e} of the largest value\n{card}")

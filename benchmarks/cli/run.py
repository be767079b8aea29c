"""Verbs that train and evaluate: run, eval, score, features."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.paths import results_dir

from .options import LARGEST, Change, Dataset, Plugin, Recipe, Root, Run, Split, Workers, first_line
from .printing import print_record

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
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="The seed for weights, batches and augmentation.")] = 0,
    split: Split = 0,
    test: Annotated[
        str | None,
        typer.Option(help="After training, evaluate the model on this other data set, as `bench eval` does."),
    ] = None,
    root: Root = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again, even if the run has finished.")] = False,
    workers: Workers = None,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 10.0,
    expect: Annotated[
        list[str],
        typer.Option(
            metavar="METRIC=VALUE+-TOLERANCE",
            help="The expected result in percent, such as mAP=61.0+-2.0, under the data set's first protocol. If it is another "
            "one, the exit status is 3. Can be repeated.",
        ),
    ] = [],
    plugin: Plugin = [],
) -> None:
    """Train and evaluate one experiment. If it has already finished, show its result."""
    from benchmarks.runs.expectation import parse_expectation

    expectations = [parse_expectation(text) for text in expect]  # an error in them costs no training
    first_line(f"{method} on {dataset}, seed {seed}")
    from benchmarks.scheduling.single_runs import run_experiment

    short = {"backbone": backbone, "weights": weights, "epochs": epochs, "precision": precision}
    result = run_experiment(
        method,
        dataset,
        recipe=recipe,
        changes=[f"{key}={value}" for key, value in short.items() if value is not None] + change,
        seed=seed,
        split=split,
        test=test,
        root=root,
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
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Evaluate the model of a finished run on another data set."""
    first_line(f"{run} on {dataset}")
    from benchmarks.scheduling.single_runs import evaluate_run

    print_record(evaluate_run(run, dataset, split, root, workers))


@verbs.command()
def score(
    query: Annotated[
        Path, typer.Option(help="The query features: an npz or parquet file with feature, pid, camid and tracklet.")
    ],
    gallery: Annotated[Path, typer.Option(help="The gallery features, in the same format.")],
    method: Annotated[str, typer.Option(help="The method's name in tables, which mark it as external.")] = "theirs",
    dataset: Annotated[str, typer.Option(help="The data set's name in tables.")] = "external",
    metric: Annotated[str, typer.Option(help="The distance: euclidean or cosine.")] = "euclidean",
) -> None:
    """Evaluate features that other code computed, and store the result as a run."""
    first_line(f"{method} on {dataset}")
    from benchmarks.runs.external_features import score_files

    print_record(score_files(query, gallery, method, dataset, metric, results_dir()))


@verbs.command()
def features(
    run: Run,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Write the query and gallery features of a finished run to files that `bench score` can read."""
    first_line(run)
    from benchmarks.scheduling.single_runs import export_run_features

    for file in export_run_features(run, to, root, workers):
        print(file)

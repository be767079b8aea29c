"""Verbs that make results: run, eval, score, features."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.paths import results_dir

from .options import Dataset, Plugin, Root, Run, Split, Workers, find_loaded, first_line, machine
from .printing import print_tables

verbs = typer.Typer()


@verbs.command()
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
    precision: Annotated[str | None, typer.Option(help="float32, or bf16 where the machine has it.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    split: Split = 0,
    test: Annotated[
        str | None, typer.Option(help="Evaluate on this other data set, once trained (as `bench eval` does).")
    ] = None,
    root: Root = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again although it is finished.")] = False,
    workers: Workers = None,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 10.0,
    plugin: Plugin = [],
) -> None:
    """Train and evaluate one experiment, or show its result if it has run already."""
    first_line(f"{method} on {dataset}, seed {seed}")
    from benchmarks import launch
    from benchmarks.data.loading import load
    from benchmarks.engine import distributed
    from benchmarks.engine.run import check_questions, evaluate_elsewhere, plan
    from benchmarks.engine.run import run as execute
    from benchmarks.progress import show_progress
    from benchmarks.runs import records

    short = {"backbone": backbone, "weights": weights, "epochs": epochs, "precision": precision}
    changes = [f"{key}={value}" for key, value in short.items() if value is not None] + change
    with launch.process_group(), show_progress() as report:
        experiment, settings, loaded = plan(
            method, dataset, recipe=recipe, changes=changes, seed=seed, split=split, root=root, report=report
        )
        there = None  # read now: what is wrong with it is said before the training, and not after
        if test is not None:
            there = load(test, progress=lambda done, total: report("read", done, total, test))
            check_questions(there)
        folder = records.RunFolder(results_dir() / experiment.name)
        record = distributed.from_leader(lambda: records.read(folder))
        if record is not None and not fresh:
            reasons = records.stale(record, {})
            state = (
                f"stale ({'; '.join(reasons)}); --fresh runs it again" if reasons else "finished before; nothing to run"
            )
            print(f"{experiment.name}: {state}", file=sys.stderr)
        if fresh or record is None:
            how = machine(workers, settings.threads, report, checkpoint_minutes)
            record = execute(experiment, settings, loaded, folder, how, fresh)
        if there is not None:
            how = machine(workers, settings.threads, report)
            record = evaluate_elsewhere(folder, record, there, results_dir(), how)
    print_tables([record])
    print(f"\n{results_dir() / record['name']}")


@verbs.command("eval")
def evaluate(
    run: Run,
    dataset: Dataset,
    split: Split = 0,
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Evaluate a finished run's model on another data set."""
    first_line(f"{run} on {dataset}")
    from benchmarks.data.loading import load
    from benchmarks.engine.run import evaluate_elsewhere
    from benchmarks.progress import show_progress

    source, record = find_loaded(run)
    with show_progress() as report:
        loaded = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
        how = machine(workers, record["experiment"]["settings"]["threads"], report)
        record = evaluate_elsewhere(source, record, loaded, results_dir(), how)
    print_tables([record])
    print(f"\n{results_dir() / record['name']}")


@verbs.command()
def score(
    query: Annotated[Path, typer.Option(help="npz or parquet: feature, pid, camid, tracklet.")],
    gallery: Annotated[Path, typer.Option(help="The same, of the gallery.")],
    method: Annotated[str, typer.Option(help="What to call it in tables, where it is marked as external.")] = "theirs",
    dataset: Annotated[str, typer.Option(help="The data set's name in tables.")] = "external",
    metric: Annotated[str, typer.Option(help="euclidean or cosine")] = "euclidean",
) -> None:
    """Evaluate features that someone else's code made, into a normal record."""
    first_line(f"{method} on {dataset}")
    from benchmarks.runs.external_features import score_files

    record = score_files(query, gallery, method, dataset, metric, results_dir())
    print_tables([record])
    print(f"\n{results_dir() / record['name']}")


@verbs.command()
def features(
    run: Run,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path(),
    root: Root = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Export a finished run's query and gallery features, as `bench score` reads them."""
    first_line(run)
    from benchmarks.data.loading import load
    from benchmarks.progress import show_progress
    from benchmarks.runs.external_features import export_features

    source, record = find_loaded(run)
    with show_progress() as report:
        loaded = load(record["experiment"]["test"], record["experiment"]["test_split"], root)
        how = machine(workers, record["experiment"]["settings"]["threads"], report)
        for file in export_features(source, record, loaded, to, how):
            print(file)

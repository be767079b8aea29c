"""The verb that searches hyperparameters: tune."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.parsing import LARGEST

from .options import Change, Dataset, Plugin, Recipe, Root, SkipBad, Split, Workers, first_line

verbs = typer.Typer()


@verbs.command()
def tune(
    method: Annotated[
        list[str],
        typer.Option(help="BASELINE, BASELINE+afa or BASELINE+afa-motion. Repeat it to tune several methods in turn."),
    ],
    dataset: Dataset,
    trials: Annotated[
        int, typer.Option(min=1, help="The number of trials for each method. The first one is the unchanged recipe.")
    ],
    trial_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="The number of epochs of each trial. Default: as many as a run."),
    ] = None,
    recipe: Recipe = None,
    change: Change = [],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="The seed for the runs and for the search.")] = 0,
    split: Split = 0,
    root: Root = None,
    skip_bad: SkipBad = False,
    to: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the recipes METHOD.toml; a suite takes it as --recipe. Default: the folder of the trials."
        ),
    ] = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Search lr, clip length, sampling and spacing by mAP on held-out TRAINING identities, and write the best recipe.

    The same command resumes an interrupted search.
    """
    first_line(f"tuning {', '.join(method)} on {dataset}, {trials} trials each")
    from tabulate import tabulate

    from benchmarks.experiments.settings import SEARCHED
    from benchmarks.scheduling.tuning import best, tune_methods

    tuned_methods = tune_methods(
        method,
        dataset,
        trials,
        recipe=recipe,
        changes=change,
        seed=seed,
        split=split,
        root=root,
        skip_bad=skip_bad,
        to=to,
        workers=workers,
        trial_epochs=trial_epochs,
    )
    for tuned in tuned_methods:
        rows = [
            [
                f"{number}{' *' * (trial is best(tuned.trials))}",
                f"{100 * trial.score:.1f}",
                *map(trial.values.get, SEARCHED),
            ]
            for number, trial in enumerate(tuned.trials)
        ]
        print(tabulate(rows, ("trial", "mAP", *SEARCHED), missingval="-", disable_numparse=True))
        print("mAP in percent, on held-out training identities; trial 0 is the unchanged recipe; * is the best\n")
        print(shlex.join(["bench", *tuned.arguments]), end="\n\n", flush=True)

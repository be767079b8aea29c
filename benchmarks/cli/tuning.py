"""The verb that searches: tune."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import Dataset, Plugin, Root, Split, Workers, first_line, machine

verbs = typer.Typer()


@verbs.command()
def tune(
    method: Annotated[str, typer.Option(help="BASELINE, BASELINE+afa or BASELINE+afa-motion.")],
    dataset: Dataset,
    trials: Annotated[
        int, typer.Option(min=1, help="How many; the first is the recipe as it is. The same for all methods.")
    ],
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or a TOML file. Default: the data set's.")] = None,
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")] = [],
    seed: Annotated[int, typer.Option(min=0, help="Of the trials' runs and of what is tried.")] = 0,
    split: Split = 0,
    root: Root = None,
    to: Annotated[Path | None, typer.Option(help="The recipe to write. Default: beside the trials.")] = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Search lr, clip length, sampling and spacing by mAP on held-out TRAINING identities; writes a recipe. Goes on."""
    first_line(f"tuning {method} on {dataset}, {trials} trials")
    from tabulate import tabulate

    from benchmarks import records
    from benchmarks.progress import reporting
    from benchmarks.run import plan
    from benchmarks.settings import ATTACHED, SEARCHED
    from benchmarks.tuning import best, write_recipe
    from benchmarks.tuning import tune as search

    with reporting() as report:
        experiment, settings, data = plan(
            method, dataset, recipe=recipe, changes=change, seed=seed, split=split, root=root, report=report
        )
        how = machine(workers, settings.threads, report)
        tried, folder = search(experiment, settings, data, trials, records.results(), how)
    file = to or folder / f"tuned-{trials}.toml"
    write_recipe(file, recipe or data.definition.recipe, settings, tried)
    chosen = best(tried)
    rows = [
        [f"{number}{' *' if each is chosen else ''}", f"{100 * each.score:.1f}", *map(each.values.get, SEARCHED)]
        for number, each in enumerate(tried)
    ]
    print(tabulate(rows, ("trial", "mAP", *SEARCHED), missingval="-", disable_numparse=True))
    print("percent, on held-out training identities; trial 0 is the recipe as it is; * is chosen\n", flush=True)
    again = [word for text in change if text.partition("=")[0].strip() in ATTACHED for word in ("--set", text)]
    print(shlex.join(["bench", "run", "--method", method, "--dataset", dataset, "--recipe", str(file), *again]))

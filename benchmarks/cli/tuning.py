"""The verb that searches: tune."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from baselines import BASELINES
from baselines.interface.errors import UserError
from benchmarks.paths import results_dir

from .options import Dataset, Plugin, Root, Split, Workers, first_line, machine

verbs = typer.Typer()


@verbs.command()
def tune(
    method: Annotated[
        list[str], typer.Option(help="BASELINE, BASELINE+afa or BASELINE+afa-motion; several, one after the other.")
    ],
    dataset: Dataset,
    trials: Annotated[
        int, typer.Option(min=1, help="How many of each; the first is the recipe as it is. The same for all methods.")
    ],
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or a TOML file. Default: the data set's.")] = None,
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")] = [],
    seed: Annotated[int, typer.Option(min=0, help="Of the trials' runs and of what is tried.")] = 0,
    split: Split = 0,
    root: Root = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="The folder for each METHOD.toml, as a suite's --recipe takes it. Default: beside the trials."
        ),
    ] = None,
    workers: Workers = None,
    plugin: Plugin = [],
) -> None:
    """Search lr, clip length, sampling and spacing by mAP on held-out TRAINING identities; writes recipes. Goes on."""
    first_line(f"tuning {', '.join(method)} on {dataset}, {trials} trials each")
    from tabulate import tabulate

    from benchmarks.engine.run import plan
    from benchmarks.experiments.methods import ATTACHED, split_method
    from benchmarks.experiments.settings import SEARCHED
    from benchmarks.progress import show_progress
    from benchmarks.scheduling.tuning import best, write_recipe
    from benchmarks.scheduling.tuning import tune as search

    for name in method:
        BASELINES.get(split_method(name)[0])  # one that is not there is refused before the first is searched for
    if to is not None and (to.suffix == ".toml" or to.is_file()):
        raise UserError(f"--to {to}: name a folder; each method's recipe becomes METHOD.toml in it")
    again = [word for text in change if text.partition("=")[0].strip() in ATTACHED for word in ("--set", text)]
    for name in dict.fromkeys(method):
        with show_progress() as report:
            experiment, settings, data = plan(
                name, dataset, recipe=recipe, changes=change, seed=seed, split=split, root=root, report=report
            )
            how = machine(workers, settings.threads, report)
            tried, folder = search(experiment, settings, data, trials, results_dir(), how)
        file = folder / f"tuned-{trials}.toml" if to is None else to / f"{name}.toml"
        write_recipe(file, recipe or data.dataset.recipe, settings, tried)
        chosen = best(tried)
        rows = [
            [f"{number}{' *' if each is chosen else ''}", f"{100 * each.score:.1f}", *map(each.values.get, SEARCHED)]
            for number, each in enumerate(tried)
        ]
        print(tabulate(rows, ("trial", "mAP", *SEARCHED), missingval="-", disable_numparse=True))
        print("percent, on held-out training identities; trial 0 is the recipe as it is; * is chosen\n")
        words = ["bench", "run", "--method", name, "--dataset", dataset, "--recipe", str(file), *again]
        print(shlex.join(words), end="\n\n", flush=True)

"""Options that several verbs share."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.api import add_plugin
from benchmarks.parsing import LARGEST
from benchmarks.suites import PLANNED_REPETITIONS, REPETITIONS, SYSTEMS_REPETITIONS

if TYPE_CHECKING:
    from benchmarks.scheduling.selection import Selection


def add_plugins(files: list[Path]) -> list[Path]:
    for file in files:
        add_plugin(file)
    return files


def _check_protocol(name: str | None) -> str | None:
    if name is not None:
        from benchmarks.evaluation.protocols import PROTOCOLS

        if name not in PROTOCOLS:
            raise UserError(f"--protocol: no {name!r}; {nearest(name, list(PROTOCOLS))}")
    return name


Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="The name of a run, the beginning or end of its name, or the path of its folder."
    ),
]
DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="A name from `bench list`.")]
SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="A name from `bench suite list`.")]
OptionalSuite = Annotated[str | None, typer.Argument(metavar="[SUITE]", help="A name from `bench suite list`.")]

Dataset = Annotated[str, typer.Option("--dataset", help="A name from `bench list`.")]
Recipe = Annotated[
    str | None, typer.Option(help="The name of a recipe, or a TOML file. Default: the data set's recipe.")
]
Change = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the recipe.")]
Root = Annotated[
    Path | None,
    typer.Option(help="The folder of the data set. Default: its folder in the folder that BENCH_DATA names."),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out frames that cannot be decoded, and list them in the record. Default: refuse them."
    ),
]
Split = Annotated[int, typer.Option(help="The train/test split of the data set, counted from 0.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0, help="The number of processes that decode frames. Default: the CPU cores that the threads leave free."
    ),
]
Plugin = Annotated[
    list[Path],
    typer.Option(
        callback=add_plugins,
        help="A Python file with more baselines, matchers, backbones, data sets, suites or claims.",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(callback=_check_protocol, help="The evaluation protocol to show. Default: the data set's first."),
]
Style = Annotated[str, typer.Option("--format", help="The format of the table: terminal, github, latex, html or csv.")]
From = Annotated[
    list[Path],
    typer.Option(
        "--from",
        help="Read the runs from this file of `bench records export`, not from the results directory. Can be repeated.",
    ),
]


SEEDS_LIMIT = 10_000  # seeds of a suite


class SuiteOptions(NamedTuple):
    """The options that select experiments of a suite."""

    dataset: Annotated[
        list[str],
        typer.Option("--dataset", help="A data set to use instead of the suite's own. Repeat it for several."),
    ] = []
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=SEEDS_LIMIT,
            help="The number of seeds. Default: enough for this many runs of each row, over all splits: "
            f"{PLANNED_REPETITIONS} in a suite with claims fixed beforehand, {SYSTEMS_REPETITIONS} in the suites of published "
            f"systems, {REPETITIONS} in others.",
        ),
    ] = None
    first_seed: Annotated[
        int,
        typer.Option(
            "--first-seed",
            min=0,
            max=LARGEST - SEEDS_LIMIT,
            help="The first seed: larger than 0 to leave out those of a pilot.",
        ),
    ] = 0
    quick: Annotated[
        bool, typer.Option("--quick", help="Use the recipe `small` and 12 epochs: less than a minute per run.")
    ] = False
    recipe: Annotated[
        str | None,
        typer.Option(
            help="The name of a recipe, a TOML file, or a folder with METHOD.toml for each method. "
            "Default: the data set's recipe."
        ),
    ] = None
    change: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting in all runs.")
    ] = []
    root: Root = None
    skip_bad: SkipBad = False
    plugin: Plugin = []

    def select(self, suite: str | None, method: str | None = None) -> "Selection":
        """The experiments of a suite, or of one method."""
        from benchmarks.scheduling.selection import select

        return select(
            suite,
            method=method,
            datasets=self.dataset,
            seeds=self.seeds,
            first_seed=self.first_seed,
            recipe=self.recipe,
            changes=self.change,
            quick=self.quick,
            root=self.root,
            plugins=self.plugin,
            skip_bad=self.skip_bad,
        )


def flatten_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer takes it: a parameter whose type is a NamedTuple becomes one option for each of its fields."""
    signature = inspect.signature(verb)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, tuple)
    }
    flat: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        fields = inspect.signature(groups[name]).parameters.values() if name in groups else (parameter,)
        flat += (field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in fields)

    @wraps(verb)
    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field: values.pop(field) for field in group._fields})
        verb(**values)

    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    call.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    return call


def first_line(text: str) -> None:
    """Print a first line before torch loads, which takes seconds."""
    print(f"bench: {text}", file=sys.stderr, flush=True)

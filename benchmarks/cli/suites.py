"""Verbs on suites: suite list, show, run, and plan."""

import shlex
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from baselines.interface.errors import UserError
from benchmarks.paths import results_dir
from benchmarks.suites import SUITES

from .options import Plugin, Root, first_line, spread
from .printing import look_here

if TYPE_CHECKING:
    from benchmarks.scheduling.states import State
    from benchmarks.suites.suite import Choice, Planned, Suite

WIDE = 60  # characters: a state that is longer is told below the table, once for all that are in it
verbs = typer.Typer(help="Named lists of experiments: the paper's tables and figures, and more.", no_args_is_help=True)
plan_verbs = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="SUITE", help="A name from `bench suite list`.")]
Datasets = Annotated[
    list[str], typer.Option("--dataset", help="A data set in place of the suite's own; several for table5.")
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")]
Quick = Annotated[bool, typer.Option("--quick", help="The recipe `small` and 12 epochs: within a minute a run.")]
Recipe = Annotated[
    str | None,
    typer.Option(help="A recipe's name, a TOML file, or a folder with METHOD.toml of each. Default: the data set's."),
]
Change = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of every run.")]


class Asked(NamedTuple):
    """Which experiments of a suite: what every verb on suites takes."""

    dataset: Datasets = []
    seeds: Seeds = 3
    quick: Quick = False
    recipe: Recipe = None
    change: Change = []
    root: Root = None
    plugin: Plugin = []


def chosen(name: "str | Suite", asked: Asked) -> "tuple[Suite, Choice]":
    """A suite, by name or itself, and what the options ask of it.

    Raises:
        UserError: an unknown suite or data set, one data set where two are wanted, or one root for several.
    """
    from benchmarks.suites.suite import Choice, dataset_pairs

    suite = SUITES.get(name)() if isinstance(name, str) else name
    passed = [word for file in asked.plugin for word in ("--plugin", str(file.absolute()))]
    choice = Choice(tuple(asked.dataset), asked.seeds, asked.recipe, tuple(asked.change), asked.quick)
    here = dataset_pairs(suite, choice)
    if not here:
        raise UserError(f"{name} goes from one data set to another; name two, each with --dataset")
    if asked.root is not None:
        names = sorted({name for place in here for name in place})
        if len(names) != 1:
            raise UserError(
                f"--root {asked.root}: for which of {', '.join(names)}? name one --dataset, or set BENCH_DATA"
            )
        passed += ["--root", str(asked.root.absolute())]
    return suite, replace(choice, passed=tuple(passed))


@verbs.command("list")
def list_suites(plugin: Plugin = []) -> None:
    """The suites by name, and what each is."""
    for name, entry in sorted(SUITES.entries.items()):
        print(f"{name:<12} {entry.summary}")


@verbs.command()
@spread
def show(name: Name, asked: Asked) -> None:
    """The commands that a suite comes to; what each `bench run` would be."""
    for planned in planned_of(*chosen(name, asked)):
        print(shlex.join(("bench", *planned.arguments)))


@verbs.command()
@spread
def run(name: Name, asked: Asked) -> None:
    """Run what is not finished, one after the other; the same command goes on. Status 1: something failed or was skipped."""
    first_line(f"suite {name}")
    from benchmarks.runs import records
    from benchmarks.scheduling.estimate import like_the_last, seconds, spelled
    from benchmarks.scheduling.run_suite import run_missing
    from benchmarks.scheduling.states import DONE

    suite, choice = chosen(name, asked)
    planned, states = _looked(suite, choice, asked.root)
    outcomes, began = [], time.monotonic()
    try:
        for count, outcome in enumerate(run_missing(planned, states), 1):
            outcomes.append(outcome)
            if states[count - 1].word == DONE:
                continue
            found, _ = like_the_last(records.finished(results_dir()))
            left = [seconds(each.experiment, found) for each in planned[count:]]
            rest = f"; about {spelled(sum(filter(None, left)))} left" if any(left) else ""
            said = f": {outcome.reason}" if outcome.reason else ""
            print(
                f"[{count}/{len(planned)}] {title_of(outcome.planned)}: {outcome.word}{said}{rest}",
                file=sys.stderr,
                flush=True,
            )
    finally:
        words = Counter(outcome.word for outcome in outcomes)
        before = sum(state.word == DONE for state in states[: len(outcomes)])
        print(
            f"\n{name}: {words[DONE]} of {len(planned)} done ({before} of them before), {words['failed']} failed, "
            f"{words['skipped']} skipped, in {spelled(time.monotonic() - began)}"
        )
        for outcome in outcomes:
            if outcome.word != DONE:
                print(f"  {outcome.word}: {title_of(outcome.planned)}: {outcome.reason}")
        print(f"results in {results_dir()}; `bench table {shlex.join((name, *choice.options))}` shows them")
    raise typer.Exit(0 if words[DONE] == len(planned) else 1)


@verbs.command()
@spread
def export(
    name: Name,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    asked: Asked,
) -> None:
    """Write a suite's finished runs, results a query included, to one file, to share: `bench table SUITE --from FILE`."""
    from benchmarks.runs import exchange, records
    from benchmarks.scheduling.states import DONE, here

    suite, choice = chosen(name, asked)
    planned = planned_of(suite, choice)
    states = here(results_dir(), asked.root)(planned)  # what is done no queue can change
    done = [state.record for state in states if state.word == DONE and state.record is not None]
    if not done:
        raise UserError(f"no finished and current runs of {name} in {results_dir()}; `bench plan {name}` says why")
    exchange.export([(records.RunFolder(results_dir() / record["name"]), record) for record in done], to)
    print(f"{to}: {len(done)} of {len(planned)} runs")


@plan_verbs.command()
@spread
def plan(name: Name, asked: Asked) -> None:
    """A suite's experiments: what is done, how long the rest will take, and the smallest difference that could show."""
    from tabulate import tabulate

    from benchmarks.reporting.power import detectable
    from benchmarks.runs import records
    from benchmarks.scheduling.estimate import like_the_last, seconds, spelled
    from benchmarks.scheduling.states import DONE

    suite, choice = chosen(name, asked)
    planned, states = _looked(suite, choice, asked.root)
    found, gpu = like_the_last(records.finished(results_dir()))
    times = [
        None if state.word == DONE else seconds(each.experiment, found)
        for each, state in zip(planned, states, strict=True)
    ]
    told = [str(state) for state in states]
    rows = [
        [title_of(each), said if len(said) < WIDE else state.word, "" if span is None else spelled(span)]
        for each, state, said, span in zip(planned, states, told, times, strict=True)
    ]
    print(tabulate(rows, ("experiment", "state", "time"), tablefmt="simple", disable_numparse=True))
    for said in dict.fromkeys(each for each in told if len(each) >= WIDE):
        print(f"\n{told.count(said)} of them: {said}")
    missing = [span for state, span in zip(states, times, strict=True) if state.word != DONE]
    known = [span for span in missing if span is not None]
    print(f"\n{len(planned)} experiments, {len(planned) - len(missing)} done, {len(missing)} to run", end="")
    cost = f" on a GPU, {sum(known) / 3600:.1f} GPU hours" if gpu else ""
    print(f": about {spelled(sum(known))} one after the other{cost}, by recorded frames/s" if known else "", end="")
    unknown = len(missing) - len(known)
    print(f" ({unknown} of unknown time: nothing like them has run here)" if unknown else "")
    for line in detectable(suite, choice, states, planned):
        print(line)


def _looked(suite: "Suite", choice: "Choice", root: Path | None) -> "tuple[list[Planned], list[State]]":
    planned = planned_of(suite, choice)
    return planned, look_here(root)(planned)


def planned_of(suite: "Suite", choice: "Choice") -> "list[Planned]":
    """A suite's experiments.

    Raises:
        UserError: it has none.
    """
    from benchmarks.suites.suite import experiments

    planned = list(experiments(suite, choice))
    if not planned:
        raise UserError("this suite trains nothing; `bench table` shows it")
    return planned


def title_of(planned: "Planned") -> str:
    experiment = planned.experiment
    place = (
        experiment.dataset if experiment.test == experiment.dataset else f"{experiment.dataset} to {experiment.test}"
    )
    split = f", split {experiment.split}" if experiment.split else ""
    label = (
        planned.row.label if planned.row.label == experiment.method else f"{planned.row.label} ({experiment.method})"
    )
    return f"{place}: {label}, seed {experiment.seed}{split}"

"""Verbs for suites: plan, suite list, suite show, suite run, suite export."""

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.paths import results_dir
from benchmarks.suites import SUITES
from benchmarks.wording import format_duration, number_of

from .options import Plugin, SuiteArgument, SuiteOptions, first_line, flatten_options

verbs = typer.Typer()
suite_verbs = typer.Typer(
    help="Suites are named lists of experiments: the paper's tables and figures, and more.", no_args_is_help=True
)


@suite_verbs.command("list")
def list_suites(plugin: Plugin = []) -> None:
    """List the suites, with a one-line summary of each."""
    for name, entry in sorted(SUITES.entries.items()):
        print(f"{name:<12} {entry.summary}")


@suite_verbs.command()
@flatten_options
def show(name: SuiteArgument, options: SuiteOptions) -> None:
    """Print the `bench run` command of each experiment of a suite."""
    for planned in options.select(name).experiments():
        print(shlex.join(("bench", *planned.arguments)))


@suite_verbs.command()
@flatten_options
def run(name: SuiteArgument, options: SuiteOptions) -> None:
    """Run the experiments of a suite that are not finished, one after the other. The same command resumes a stopped suite.

    The exit status is 1 if an experiment failed or was skipped.
    """
    first_line(f"suite {name}")
    from benchmarks.scheduling.run_suite import run_suite, summarize

    selection = options.select(name)
    total, outcomes, start = len(selection.experiments()), [], time.monotonic()
    try:
        for outcome in run_suite(selection):
            outcomes.append(outcome)
            if not outcome.was_done:
                reason = f": {outcome.reason}" if outcome.reason else ""
                left = f"; about {format_duration(outcome.seconds_left)} left" if outcome.seconds_left else ""
                line = f"[{len(outcomes)}/{total}] {outcome.title}: {outcome.status}{reason}{left}"
                print(line, file=sys.stderr, flush=True)
    finally:
        print(f"\n{name}: {summarize(outcomes, total)}, in {format_duration(time.monotonic() - start)}")
        for outcome in outcomes:
            if not outcome.is_done:
                print(f"  {outcome.status}: {outcome.title}: {outcome.reason}")
        print(f"results in {results_dir()}; `bench table {shlex.join(selection.words)}` shows them")
    raise typer.Exit(0 if all(outcome.is_done for outcome in outcomes) else 1)


@suite_verbs.command()
@flatten_options
def export(
    name: SuiteArgument,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The parquet file to write.")],
    options: SuiteOptions,
) -> None:
    """Write the finished runs of a suite, with the results of each query, to one file for `bench table SUITE --from FILE`."""
    from benchmarks.scheduling.suite_plan import export_finished

    count, total = export_finished(options.select(name), to)
    print(f"{to}: {count} of {number_of(total, 'run')}")


@verbs.command()
@flatten_options
def plan(
    name: SuiteArgument,
    options: SuiteOptions,
    effect: Annotated[
        float,
        typer.Option(min=0.01, help="The true effect to detect, in points of mAP; it decides the number of seeds."),
    ] = 1.0,
    memory: Annotated[
        bool, typer.Option("--memory", help="Also estimate the GPU memory of a training step of each experiment.")
    ] = False,
) -> None:
    """Show the state of each experiment of a suite, how long the missing ones take, and how many seeds each claim needs."""
    from benchmarks.reporting.plan_tables import claims_table, experiments_table
    from benchmarks.reporting.power import fewest_queries, measured_records, plan_claims
    from benchmarks.scheduling.suite_plan import finished, plan_suite

    selection = options.select(name)
    suite_plan = plan_suite(selection, measured_records())
    needed = []
    if memory:
        from benchmarks.scheduling.memory import memory_texts

        needed = memory_texts(selection, suite_plan.planned)
    print(experiments_table(suite_plan, needed))
    choice = selection.choice
    pilot = finished(replace(selection, choice=replace(choice, first_seed=0, seeds=choice.all_seeds.stop)))
    for line in fewest_queries(selection.suite, choice, pilot, selection.root):
        print(line)
    claims = list(plan_claims(name, suite_plan.planned, pilot, effect / 100, suite_plan.seconds_of))
    if claims:
        print(f"\n{claims_table(claims, effect)}")

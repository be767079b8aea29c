"""Verbs for jobs on a cluster: submit, retry, status, logs, cancel, clean."""

import shlex
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from baselines.interface.errors import UserError
from benchmarks.paths import results_dir
from benchmarks.wording import number_of

from .options import OptionalSuite, SuiteOptions, flatten_options
from .printing import exit_if_missing

if TYPE_CHECKING:
    from benchmarks.scheduling.states import State

verbs = typer.Typer()


class JobOptions(NamedTuple):
    """The resources of a job. The site's file has the defaults."""

    partition: Annotated[
        str | None,
        typer.Option(
            help="The partition of the cluster. Defaults of this option and of those below are in slurm/site.toml, "
            "or in the file that BENCH_SITE names."
        ),
    ] = None
    account: Annotated[str | None, typer.Option(help="The account that the jobs are charged to.")] = None
    qos: Annotated[str | None, typer.Option(help="The quality of service.")] = None
    constraint: Annotated[str | None, typer.Option(help="Features that the nodes must have, in sbatch's notation.")] = (
        None
    )
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs per node; one process per GPU.")] = None
    cpus: Annotated[int | None, typer.Option(min=1, help="CPU cores per process.")] = None
    memory: Annotated[float | None, typer.Option(help="Gigabytes of memory per node.")] = None
    time: Annotated[str | None, typer.Option(help="The time limit of a job: H:MM:SS, D-HH:MM:SS or minutes.")] = None
    nodes: Annotated[
        int | None,
        typer.Option(min=1, help="Nodes per job. With several, their processes train one experiment together."),
    ] = None
    max_parallel: Annotated[
        int | None, typer.Option("--max-parallel", min=1, help="The number of jobs that run at the same time.")
    ] = None
    sbatch: Annotated[
        list[str],
        typer.Option(
            "--sbatch", metavar="NAME=VALUE", help="Another option of sbatch, without dashes. Can be repeated."
        ),
    ] = []


def _submitting_verb(*states: str) -> Callable[..., None]:
    """The verb that submits the experiments in these states."""

    @flatten_options
    def verb(
        options: SuiteOptions,
        resources: JobOptions,
        name: OptionalSuite = None,
        method: Annotated[str | None, typer.Option(help="One method, instead of a suite.")] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would be submitted, and submit nothing.")
        ] = False,
        local: Annotated[
            bool, typer.Option("--local", help="Run in the background of this machine, without Slurm.")
        ] = False,
    ) -> None:
        from benchmarks.scheduling.submission import submit

        selection = options.select(name, method)
        for line in submit(selection, resources._asdict(), states, local=local, dry_run=dry_run):
            print(line)
        if dry_run:
            exit_if_missing(selection)
        else:
            command = shlex.join(("bench", "status", *selection.words))
            print(f"results in {results_dir()}; `{command}` shows their state")

    return verb


verbs.command(
    "submit",
    help="Submit the missing experiments of a suite, or of one method, to a Slurm cluster. Experiments that are done, queued, "
    "running or failed are not submitted.",
)(_submitting_verb("not run", "stopped", "stale"))
verbs.command(
    "retry",
    help="Submit the failed experiments again. A run resumes from its last checkpoint, and old logs are kept.",
)(_submitting_verb("failed"))


@verbs.command()
@flatten_options
def status(
    options: SuiteOptions,
    name: OptionalSuite = None,
    watch: Annotated[bool, typer.Option("--watch", help="Update every few seconds, until Ctrl-C.")] = False,
) -> None:
    """Show the state of each experiment of a suite, or of everything that was submitted.

    The state comes from the files of the runs first, and then from the queue.
    """
    from benchmarks.runs.record_index import without_collection
    from benchmarks.scheduling.submitted import titles_and_states

    if name is None and any(options._replace(plugin=[])):
        raise UserError("options select experiments of a suite; name the SUITE, or omit the options")
    while True:
        with without_collection():
            experiments = titles_and_states(options.select(name) if name is not None else None)
        if not experiments:
            print(
                "nothing was submitted; use `bench submit SUITE` to submit, or `bench status SUITE` to see the results here"
            )
            return
        print(("\033[2J\033[H" if watch else "") + _status_text(experiments))
        if not watch:
            return
        try:
            time.sleep(5)
        except KeyboardInterrupt:
            return


def _status_text(experiments: "list[tuple[str, State]]") -> str:
    from tabulate import tabulate

    rows = [(title, state.name, state.detail) for title, state in experiments]
    text = tabulate(rows, ("experiment", "state", ""), disable_numparse=True)
    counts = Counter(state.name for _, state in experiments).most_common()
    return f"{text}\n\n{number_of(len(rows), 'experiment')}: " + ", ".join(f"{count} {name}" for name, count in counts)


@verbs.command()
def logs(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The title or name of an experiment, or a part of it, or a job id.")
    ],
) -> None:
    """Print the output of the last job of an experiment: of each process in turn, standard output first."""
    from benchmarks.scheduling.submitted import read_logs

    for text in read_logs(run):
        print(text, end="")


@verbs.command()
def cancel(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="The title or name of an experiment, or a part that is unique to it, or a job id."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Cancel all jobs that were submitted here.")] = False,
) -> None:
    """Cancel jobs that are queued or running. Their checkpoints are kept, and `bench submit` resumes from them."""
    from benchmarks.scheduling.submitted import cancel as cancel_jobs

    if (what is None) != everything:
        raise UserError("name an experiment, or use --all; `bench status` lists the submitted ones")
    cancelled = cancel_jobs(what)
    print(f"{number_of(len(cancelled), 'job')} cancelled")
    for entry in cancelled:
        print(f"  {entry.title}")


@verbs.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them. Without this option, they are only listed.")] = False,
) -> None:
    """Remove files that are no longer needed: old checkpoints, temporary files, failed runs, old copies of the code.

    Failed runs that have no checkpoint, and copies of the code, are removed only if no job is queued or running.
    """
    from benchmarks.scheduling.cleanup import clean as clean_results

    count = 0
    for count, found in enumerate(clean_results(remove=yes), 1):  # noqa: B007 - the last number is printed
        print(f"{'removed' if yes else 'would remove'}: {found.path} ({found.size / 1e6:.1f} MB)")
    print(f"{count} removed" if yes else f"{count} to remove" + "; --yes removes them" * bool(count))

"""`bench`: a function a verb, and nothing else. torch is imported only by the verbs that need it.

Here: the program and what becomes of its errors. running: verbs that make results; reading: verbs that show what is there;
pictures: verbs that draw; data: verbs on data sets; suites: verbs on suites; cluster: verbs on jobs; tuning: the verb that
searches; options and printing: what they share.
"""

import os
import sys
import traceback
from pathlib import Path

import typer

from baselines.interface.errors import UserError
from baselines.interface.plugins import plugin_at_fault
from benchmarks import launch, paths
from slurm import JobError

from . import cluster, data, pictures, reading, running, suites, tuning

app = typer.Typer(
    help="Video person re-identification under one trainer, named protocols and seeds: what a temporal baseline is "
    "worth, with and without Adversarial Feature Augmentation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="A user's error is one line and exit status 2; --debug, anywhere, shows the traceback. "
    "BENCH_DATA: data sets; BENCH_CACHE: what is derived from them; BENCH_RESULTS: runs (results/runs).",
)
app.add_typer(running.verbs)
app.add_typer(tuning.verbs)
app.add_typer(reading.verbs)
app.add_typer(suites.plan_verbs)
app.add_typer(suites.verbs, name="suite")
app.add_typer(cluster.verbs)
app.add_typer(pictures.verbs)
app.add_typer(data.verbs, name="data")
app.add_typer(reading.records_verbs, name="records")

USER, STOPPED, READER_GONE = 2, 130, 141  # exit statuses; the last two as shells have them after SIGINT and SIGPIPE


def main() -> None:
    """The `bench` command."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    me, errors = launch.process_info(), sys.stderr
    if me.rank > 0 and not debug:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for good: of several, one speaks
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a reader who has gone can still be noticed
        line = "stopped; the same command goes on from the last checkpoint" if status == STOPPED else ""
    except BaseException as error:
        # `bench list | head -1`: the reader has what it wanted. typer exits with 1 then, and says no more.
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(READER_GONE)
        if isinstance(error, SystemExit):
            raise
        if debug:
            traceback.print_exception(error)
        status, line = _explained(error)
    if line and me.rank == 0:
        print(f"bench: {line}", file=errors)
    elif line and status != STOPPED:  # and each of its own trouble
        print(f"bench, process {me.rank} of {me.world_size}: {line}", file=errors)
    sys.exit(status)


def _explained(error: BaseException) -> tuple[int, str]:
    """The exit status and the one line that an error comes to."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ in ("Abort", "Stopped"):
        return STOPPED, f"{str(error) or 'stopped'}; the same command goes on from there"
    usage = getattr(error, "format_message", None)  # a wrong option or verb; a bare `bench` has its help as message
    if usage is not None:
        return USER, usage()
    if isinstance(error, UserError | JobError):
        # From a worker process an error comes with the worker's traceback before its own line.
        return USER, str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.UserError: ")
    reason = f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}"
    plugin = plugin_at_fault(error)
    if plugin is not None:
        return USER, f"{plugin}: {reason} (a fault of the plug-in; --debug shows where)"
    if isinstance(error, OSError) and error.filename:
        above = paths.variables_above(Path(error.filename))
        return USER, f"{error.filename}: {error.strerror}" + "".join(f" ({name} names its place)" for name in above)
    return 1, f"{reason} (a fault of the program; --debug shows where)"

"""The `bench` command. This file holds the program and how its errors are reported; the verbs are in

run: run, eval, score, features, export             tune: tune
results: show, table, verdict, compare, records     figures: figure, gallery, report
suites: plan, suite                                 jobs: submit, retry, status, logs, cancel, clean
data: data                                          info: list, doctor, speed

A verb parses its options, calls one function and prints what it returns. torch is imported only by the verbs that need it.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from baselines.interface.errors import UserError
from baselines.interface.plugins import plugin_at_fault
from benchmarks import launch, paths
from benchmarks.atomic import reason
from slurm import JobError

from . import data, figures, info, jobs, results, run, suites, tune

app = typer.Typer(
    help="Compare models for video person re-identification, with and without Adversarial Feature Augmentation (AFA): the "
    "same training, data, evaluation protocols and seeds for all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="An error that you can fix is reported in one line, with exit status 2; add --debug to any command for the traceback. "
    "Environment variables: BENCH_DATA, the folder of the data sets; BENCH_CACHE, the folder of files derived from them; "
    "BENCH_RESULTS, the folder of the runs (default: results/runs).",
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"afa-bench {version('afa-bench')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


class _Verb(TyperCommand):
    """A verb that warns if a single-value option is given more than once. typer would silently keep only the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        *_, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in dict.fromkeys(given):
            if given.count(option) > 1 and not (option.multiple or getattr(option, "is_flag", False)):
                print(f"bench: {option.opts[0]} takes one value; only the last one counts", file=sys.stderr)
        return super().parse_args(ctx, args)


for verbs in (run, tune, info, results, suites, jobs, figures):
    app.add_typer(verbs.verbs)
app.add_typer(suites.suite_verbs, name="suite")
app.add_typer(data.verbs, name="data")
app.add_typer(results.records_verbs, name="records")
for group in app.registered_groups:
    for verb in group.typer_instance.registered_commands if group.typer_instance else ():
        verb.cls = _Verb

USER_ERROR = 2  # the exit statuses; the next two are those that shells give after SIGINT and SIGPIPE
STOPPED = 130
OUTPUT_CLOSED = 141


def main() -> None:
    """The `bench` command."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    process, errors = launch.process_info(), sys.stderr
    if process.rank > 0 and not debug:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end: only the first process prints
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a closed pipe can still be handled
        message = "stopped; the same command resumes from the last checkpoint" if status == STOPPED else ""
    except BaseException as error:
        # `bench list | head -1`. typer hides the BrokenPipeError in an exit with status 1.
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(OUTPUT_CLOSED)
        if isinstance(error, SystemExit) and plugin_at_fault(error) is None:  # a plug-in that exits has not succeeded
            raise
        if debug:
            traceback.print_exception(error)
        status, message = _status_and_message(error)
    if message and process.rank == 0:
        print(f"bench: {message}", file=errors)
    elif message and status != STOPPED:  # each process reports its own error
        print(f"bench, process {process.rank} of {process.world_size}: {message}", file=errors)
    sys.exit(status)


def _usage_message(error: Any) -> str:
    """typer's message for a wrong option or verb, with the closest option or the command that explains them."""
    message = error.format_message()
    help_command = f"`{error.ctx.command_path} --help`" if error.ctx else "`--help`"
    if type(error).__name__ == "NoSuchOption":  # typer would name up to three others
        close = next(iter(error.possibilities or ()), None)
        meant = f"did you mean {close!r}?" if close else f"{help_command} lists the options"
        return f"no option {error.option_name!r}; {_setting_meant(error) or meant}"
    if "Did you mean" in message or type(error).__name__ == "NoArgsIsHelpError":
        return str(message)
    return f"{message.rstrip('.')}; see {help_command}"


def _setting_meant(error: Any) -> str:
    """What to type for an option that is a setting, such as --batch-size; "" if it is no setting, or the verb takes none."""
    from benchmarks.experiments.other_names import named_here
    from benchmarks.experiments.settings import KEYS

    named = named_here(error.option_name.lstrip("-"), KEYS)
    takes_settings = error.ctx and any("--set" in option.opts for option in error.ctx.command.params)
    return f"settings use --set NAME=VALUE; this one is {named}" if named and takes_settings else ""


def _status_and_message(error: BaseException) -> tuple[int, str]:
    """The exit status for an error, and its message in one line."""
    if type(error).__name__ == "Abort" and isinstance(error.__context__, EOFError):
        error = error.__context__  # typer mistakes the end of any file for the end of the keyboard's input
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ in ("Abort", "Stopped"):
        return STOPPED, f"{str(error) or 'stopped'}; the same command resumes from there"
    if hasattr(error, "format_message"):  # a wrong option or verb; `bench` alone has its help as the message
        return USER_ERROR, _usage_message(error)
    if isinstance(error, UserError | JobError):
        # An error from a worker process starts with the worker's traceback.
        return USER_ERROR, str(error).strip().splitlines()[-1].removeprefix(f"{UserError.__module__}.UserError: ")
    line = f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}"
    plugin = plugin_at_fault(error)
    if plugin is not None:
        return USER_ERROR, f"{plugin}: {line} (an error in the plug-in; --debug shows the traceback)"
    if isinstance(error, OSError) and error.filename:
        file = error.filename2 or error.filename  # for a copy, the second is the one written
        variables = (f" (in the folder that {name} names)" for name in paths.variables_above(Path(file)))
        return USER_ERROR, f"{file}: {reason(error)}" + "".join(variables)
    return 1, f"{line} (an error in the program; --debug shows the traceback)"

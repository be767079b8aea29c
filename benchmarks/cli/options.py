"""Options that several verbs share, and what they come to."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines import BASELINES
from baselines.backbones import BACKBONES
from baselines.interface.errors import UserError
from baselines.interface.plugins import add_plugin
from baselines.interface.registry import nearest
from benchmarks import launch
from benchmarks.data import DATASETS, is_known
from benchmarks.experiments.experiment import EXTERNAL
from benchmarks.paths import results_dir
from benchmarks.suites import SUITES

if TYPE_CHECKING:
    from benchmarks.engine.run import Machine
    from benchmarks.progress import ReportProgress
    from benchmarks.runs.records import Record, RunFolder


def _add_plugins(files: list[Path]) -> list[Path]:
    for file in files:
        add_plugin(file, (BASELINES, BACKBONES, DATASETS, SUITES))
    return files


def _named_protocol(name: str | None) -> str | None:
    if name is not None:
        from benchmarks.evaluation.ranking import PROTOCOLS

        if name not in PROTOCOLS:
            raise UserError(f"--protocol: no {name!r}; {nearest(name, list(PROTOCOLS))}")
    return name


Dataset = Annotated[str, typer.Option("--dataset", help="A name from `bench list`.")]
Root = Annotated[Path | None, typer.Option(help="The data set's folder, where it is not below BENCH_DATA.")]
Split = Annotated[int, typer.Option(help="Which of the data set's splits, from 0.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that decode ahead. Default: the cores that are left over.")
]
Plugin = Annotated[
    list[Path],
    typer.Option(callback=_add_plugins, help="A Python file with more baselines, backbones, data sets or suites."),
]
Protocol = Annotated[
    str | None, typer.Option(callback=_named_protocol, help="The protocol to show. Default: the data set's first.")
]
From = Annotated[
    list[Path],
    typer.Option("--from", help="A file of `bench records export`, in place of the runs here; several together."),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or the beginning or end of it, or its folder.")]
DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="A name from `bench list`.")]


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer takes it: a parameter that is a NamedTuple becomes an option for each of the tuple's fields."""
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
    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in group._fields})
        verb(**given)

    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    call.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    return call


def first_line(text: str) -> None:
    """Something on the screen before torch loads, which takes seconds."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def machine(workers: int | None, threads: int, report: "ReportProgress", checkpoint_minutes: float = 10.0) -> "Machine":
    """How the verb's run is carried out; by default the cores that its threads leave over decode ahead."""
    from benchmarks.engine.run import Machine

    return Machine(launch.spare_cores(threads) if workers is None else workers, checkpoint_minutes, report)


def not_loaded(record: "Record") -> str | None:
    """What a run came from and is not here, and what to do about it; None where nothing lacks."""
    experiment = record["experiment"]
    baseline, dataset = experiment["method"].partition("+")[0], experiment["test"]
    lacking = [] if baseline in BASELINES.entries else [f"baseline {baseline!r}"]
    remedy = "name the file with --plugin FILE.py"
    if not is_known(dataset):
        lacking.append(f"data set {dataset!r}")
        remedy += ", or import the video that it was (bench data import)"
    if not lacking or experiment["recipe"] == EXTERNAL:
        return None
    return f"{' and '.join(lacking)} not known here; {remedy}"


def find_loaded(run: str) -> "tuple[RunFolder, Record]":
    """The finished run that `run` names, whose baseline and data set are at hand.

    Raises:
        UserError: no such run, one of a plug-in that is not loaded, or one of `bench score`, which has no model.
    """
    from benchmarks.runs import records

    folder, record = records.find(run, results_dir())
    if record["experiment"]["recipe"] == EXTERNAL:
        raise UserError(f"{record['name']}: made by `bench score` from features of someone else's; there is no model")
    if hint := not_loaded(record):
        raise UserError(f"{record['name']}: {hint}")
    return folder, record

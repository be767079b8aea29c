"""Find finished runs by name, and what of a run is not available here: its code, its data."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES
from baselines.interface.errors import UserError
from benchmarks.data import is_known
from benchmarks.data.loading import known_digests
from benchmarks.experiments.experiment import EXTERNAL
from benchmarks.experiments.settings import NO_MATCHER
from benchmarks.paths import results_dir

from . import records
from .finished import Found, below, in_file
from .records import Record, RunFolder


def find_runs(names: Sequence[str] = (), datasets: Collection[str] = (), files: Sequence[Path] = ()) -> list[Found]:
    """The finished runs here, or those in exported files.

    Args:
        names: only these; the beginning or end of a name is enough. Empty: all.
        datasets: only runs tested on these. Empty: on any.
        files: read these, written by `bench records export`, instead of the results here.

    Raises:
        UserError: there are none.
    """
    results = results_dir()
    if names and not files:
        runs = [Found(record, folder) for folder, record in (records.find(name, results) for name in names)]
    else:
        runs = [run for file in files for run in in_file(file)] if files else below(results)
        runs = [run for run in runs if not names or any(_matches(run, name) for name in names)]
    runs = [run for run in runs if not datasets or run.experiment.test in datasets]
    if not runs:
        source = ", ".join(map(str, files)) or results
        called = f" {' or '.join(names)}" if names else ""
        tested = f" on {' or '.join(datasets)}" if datasets else ""
        raise UserError(f"no finished runs{called} in {source}{tested}")
    return runs


def _matches(run: Found, name: str) -> bool:
    return run.name.startswith(name) or run.name.endswith(name)


def find_run_with_model(run: str) -> tuple[RunFolder, Record]:
    """The finished run that `run` names, whose baseline and data set are available here.

    Raises:
        UserError: no such run, a plug-in that is not loaded, or a run of `bench score`, which has no model.
    """
    folder, record = records.find(run, results_dir())
    if record["experiment"]["recipe"] == EXTERNAL:
        raise UserError(f"{record['name']}: made by `bench score` from external features; there is no model")
    if reason := why_unknown(record):
        raise UserError(f"{record['name']}: {reason}")
    return folder, record


def why_unknown(record: Record) -> str | None:
    """What a run used that is not known here, and what to do about it. None if all is known."""
    experiment = record["experiment"]
    baseline, dataset = experiment["method"].partition("+")[0], experiment["test"]
    unknown = [] if baseline in BASELINES.entries else [f"baseline {baseline!r}"]
    for kind, registry, built_in in (("backbone", BACKBONES, ()), ("matcher", MATCHERS, NO_MATCHER)):
        name = experiment["settings"].get(kind)  # external features have neither
        if name not in (None, *built_in, *registry.entries):
            unknown.append(f"{kind} {name!r}")
    remedy = "name the file with --plugin FILE.py"
    if not is_known(dataset):
        unknown.append(f"data set {dataset!r}")
        remedy += ", or import its video again (bench data import)"
    if not unknown or experiment["recipe"] == EXTERNAL:
        return None
    return f"{' and '.join(unknown)} not known here; {remedy}"


def warnings_of_unknown(found: Sequence[Record]) -> list[str]:
    """One line for each reason why it cannot be checked whether runs are current."""
    counts = Counter(filter(None, map(why_unknown, found)))
    return [
        f"cannot check whether {count} run{'s are' if count > 1 else ' is'} current: {reason}"
        for reason, count in counts.items()
    ]


def current_runs(runs: Sequence[Found]) -> list[Found]:
    """The runs that were made by the code and data here."""
    digests = available_digests([run.record for run in runs])
    return [run for run in runs if not records.stale(run.record, digests)]


def available_digests(found: Sequence[Record]) -> dict[str, set[str]]:
    """The digests of the records' data sets as they are here, by `NAME/SPLIT`; only of data that was read here before."""
    experiments = [record["experiment"] for record in found]
    pairs = {(each["dataset"], each["split"]) for each in experiments}
    pairs |= {(each["test"], each["test_split"]) for each in experiments}
    digests = {f"{name}/{split}": known_digests(name, split) for name, split in pairs}
    return {key: value for key, value in digests.items() if value}

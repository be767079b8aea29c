"""Find finished runs by name, and report which parts of a run (code, data) are not available here."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from baselines import BASELINES, MATCHERS
from baselines.backbones import BACKBONES
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.data import is_known
from benchmarks.data.loading import known_digests
from benchmarks.experiments.settings import NO_MATCHER
from benchmarks.paths import results_dir

from .finished import FinishedRun, finished_runs, runs_in_file
from .folder import RunFolder
from .record import Record
from .staleness import stale_reasons
from .store import read_finished, read_record

ELSEWHERE = "set BENCH_RESULTS if they are in another folder"


def find_run(text: str, results_dir: Path) -> tuple[RunFolder, Record]:
    """The finished run that a text names: the name of a folder, its beginning or end, or a path.

    Raises:
        UserError: no such run, or several.
    """
    for folder in (RunFolder(Path(text)), RunFolder(results_dir / text)):
        record = read_record(folder)
        if record is not None:
            return folder, record
    found = {record.name: (folder, record) for folder, record in read_finished(results_dir)}
    text = text.replace(":", "_")  # as folders' names have it
    matches = [name for name in found if name.startswith(text) or name.endswith(text)]
    if len(matches) == 1:
        return found[matches[0]]
    if matches:
        raise UserError(f"{text!r} matches {len(matches)} runs in {results_dir}: {', '.join(matches)}; name one")
    hint = nearest(text, list(found)) if found else f"there are no runs yet; {ELSEWHERE}"
    if any(record.experiment.method == text for _, record in found.values()):
        hint = f"it is a method; `bench table --method {text}` shows its runs"
    raise UserError(f"no finished run {text!r} in {results_dir}; {hint}")


def find_runs(
    names: Sequence[str] = (),
    datasets: Collection[str] = (),
    files: Sequence[Path] = (),
    methods: Collection[str] = (),
) -> list[FinishedRun]:
    """The finished runs in the results directory, or those in exported files.

    Args:
        names: only these; the beginning or end of a name is enough. Empty: all.
        datasets: only runs tested on these. Empty: on any.
        methods: only runs of these. Empty: of any.
        files: read these, written by `bench records export`, instead of the results directory.

    Raises:
        UserError: there are none.
    """
    results = results_dir()
    if names and not files:
        runs = [FinishedRun(record, folder) for folder, record in (find_run(name, results) for name in names)]
    else:
        read = [run for file in files for run in runs_in_file(file)] if files else finished_runs(results)
        runs = list({(run.name, run.record.finished): run for run in read}.values())  # a run may be in several files
        runs = [run for run in runs if not names or is_named(run, names)]
    runs = [run for run in runs if not datasets or run.experiment.test in datasets]
    runs = [run for run in runs if not methods or run.experiment.method in methods]
    if not runs:
        source = ", ".join(map(str, files)) or results
        called = f" {' or '.join(names)}" if names else ""
        tested = f" on {' or '.join(datasets)}" if datasets else ""
        called += f" of {' or '.join(methods)}" if methods else ""
        raise UserError(f"no finished runs{called} in {source}{tested}{'' if files else f'; {ELSEWHERE}'}")
    return runs


def runs_named(name: str, runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """The runs of the method `name`, or the run with a name that begins or ends so.

    Raises:
        UserError: no such method or run, or several runs.
    """
    of_method = [run for run in runs if run.experiment.method == name]
    matching = of_method or [run for run in runs if is_named(run, [name])]
    if not matching:
        known = sorted({run.experiment.method for run in runs} | {run.name for run in runs})
        raise UserError(f"no finished run of a method {name!r}, and none of that name; {nearest(name, known)}")
    if not of_method and len(matching) > 1:
        raise UserError(f"{name!r} matches {len(matching)} runs: {', '.join(run.name for run in matching)}; name one")
    return matching


def is_named(run: FinishedRun, names: Sequence[str]) -> bool:
    """Whether the run's name begins or ends with one of these."""
    return run.name.startswith(tuple(names)) or run.name.endswith(tuple(names))


def find_run_with_model(run: str) -> tuple[RunFolder, Record]:
    """The finished run that `run` names, whose baseline and data set are available here.

    Raises:
        UserError: no such run, a plug-in that is not loaded, or a run of `bench score`, which has no model.
    """
    folder, record = find_run(run, results_dir())
    if record.experiment.external:
        raise UserError(f"{record.name}: made by `bench score` from external features; there is no model")
    if reason := why_unknown(record):
        raise UserError(f"{record.name}: {reason}")
    return folder, record


def why_unknown(record: Record) -> str | None:
    """What the run used that this installation does not know, and how to fix it. None if everything is known."""
    experiment = record.experiment
    baseline, dataset = experiment.method.partition("+")[0], experiment.test
    unknown = [] if baseline in BASELINES.entries else [f"baseline {baseline!r}"]
    for kind, registry, built_in in (("backbone", BACKBONES, ()), ("matcher", MATCHERS, NO_MATCHER)):
        name = experiment.settings.get(kind)  # external features have neither
        if name is not None and name.partition(":")[0] not in (*built_in, *registry.entries):
            unknown.append(f"{kind} {name!r}")
    remedy = "name the file with --plugin FILE.py"
    if not is_known(dataset):
        unknown.append(f"data set {dataset!r}")
        remedy += ", or import its video again (bench data import)"
    if not unknown or experiment.external:
        return None
    return f"{' and '.join(unknown)} not known here; {remedy}"


def warnings_of_unknown(found: Sequence[Record]) -> list[str]:
    """One line for each reason why it cannot be checked whether runs are current."""
    counts = Counter(filter(None, map(why_unknown, found)))
    return [
        f"cannot check whether {count} run{'s are' if count > 1 else ' is'} current: {reason}"
        for reason, count in counts.items()
    ]


def current_runs(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """The runs that were made with the current code and data."""
    digests = available_digests([run.record for run in runs])
    return [run for run in runs if not stale_reasons(run.record, digests)]


def available_digests(found: Sequence[Record]) -> dict[str, set[str]]:
    """The digests of the records' data sets on this machine, by `NAME/SPLIT`; only those that were read before."""
    experiments = [record.experiment for record in found]
    pairs = {(each.dataset, each.split) for each in experiments}
    pairs |= {(each.test, each.test_split) for each in experiments}
    digests = {f"{name}/{split}": known_digests(name, split) for name, split in pairs}
    return {key: value for key, value in digests.items() if value}

"""Run one experiment, and use the model of a finished run: on another data set, for its features, for its ranked lists."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks import launch
from benchmarks.atomic import write_atomically
from benchmarks.clips.subsets import test_tracklets
from benchmarks.data.image_folder import load_folder
from benchmarks.data.loading import LoadedDataset, load
from benchmarks.data.verify import refuse_bad_frames
from benchmarks.engine import distributed
from benchmarks.engine.run import (
    Machine,
    check_evaluable,
    evaluate_elsewhere,
    plan,
    run,
    trained_model,
    without_bad_frames,
)
from benchmarks.experiments.methods import check_method
from benchmarks.experiments.settings import resolve
from benchmarks.paths import results_dir
from benchmarks.progress import ReportProgress, show_progress
from benchmarks.reporting.model_card import card
from benchmarks.runs.feature_files import POOLED, extractor_of_backbone, extractor_of_run, write_features
from benchmarks.runs.find import find_run_with_model
from benchmarks.runs.finished import FinishedRun, finished_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.learning import check_learned
from benchmarks.runs.model_export import TOLERANCE, card_file, check_format, export_checked, refuse_other_files
from benchmarks.runs.ranked_lists import rank_queries
from benchmarks.runs.record import Record
from benchmarks.runs.staleness import refuse_other_data, stale_reasons
from benchmarks.runs.store import read_record


class RunResult(NamedTuple):
    """The record of a run.

    Attributes:
        name: of the run; the record has another one if the model was then evaluated on another data set.
        was_finished: whether it had finished before, so that nothing ran.
        stale: why that earlier record is not current; empty if it is.
        warning: that it has learned nothing, if it has just run and seems to.
    """

    name: str
    record: Record
    was_finished: bool
    stale: list[str]
    warning: str | None = None


def run_experiment(
    method: str,
    dataset: str,
    *,
    recipe: str | None = None,
    changes: Sequence[str] = (),
    seed: int = 0,
    split: int = 0,
    test: str | None = None,
    root: Path | None = None,
    fresh: bool = False,
    workers: int | None = None,
    checkpoint_minutes: float = 10.0,
    skip_bad: bool = False,
) -> RunResult:
    """Train and evaluate one experiment, if it has not run before.

    Args:
        changes: texts KEY=VALUE, of settings that differ from the recipe.
        test: another data set to evaluate the model on; the result is then of that data set.
        root: the data set's folder; None: below BENCH_DATA.
        fresh: run again even if it has finished.
        workers: processes that decode frames; None: one for each free core.
        skip_bad: leave out frames that cannot be decoded; otherwise they are refused.

    Raises:
        UserError: an unknown name or setting, a missing data set, or data that cannot be evaluated.
        Stopped: a signal ended the training, and its state is saved.
    """
    check_method(method)
    with launch.process_group(), show_progress() as report:
        experiment, settings, data = plan(
            method,
            dataset,
            recipe=recipe,
            changes=changes,
            seed=seed,
            split=split,
            root=root,
            report=report,
            skip_bad=skip_bad,
        )
        test_data = None  # loaded before the training, so that an error in it costs no training
        if test is not None:
            test_data = _load(test, 0, None, report)
            test_data = without_bad_frames(test_data, report) if skip_bad else test_data
            check_evaluable(test_data)
        folder = RunFolder(results_dir() / experiment.name)
        record = (
            None if fresh else distributed.from_leader(lambda: read_record(folder))
        )  # a damaged one may be made again
        was_finished, warning = record is not None, None
        stale = stale_reasons(record, {}) if record is not None else []
        if record is None:
            check_frames(data, report)
            if test_data is not None:
                check_frames(test_data, report)
            how = make_machine(settings.threads, workers, report, checkpoint_minutes)
            record = run(experiment, settings, data, folder, how, fresh)
            warning = check_learned(FinishedRun(record, folder), data)
        if test_data is not None:
            how = make_machine(settings.threads, workers, report)
            record = evaluate_elsewhere(folder, record, test_data, results_dir(), how)
    return RunResult(experiment.name, record, was_finished, stale, warning)


def evaluate_run(
    run: str, dataset: str, split: int, root: Path | None, workers: int | None, skip_bad: bool = False
) -> Record:
    """Evaluate the model of a finished run on another data set.

    Args:
        skip_bad: leave out frames that cannot be decoded; otherwise they are refused.

    Raises:
        UserError: no such run, no model, or a missing data set.
    """
    folder, record = find_run_with_model(run)
    with show_progress() as report:
        data = _load(dataset, split, root, report)
        if skip_bad:
            data = without_bad_frames(data, report)
        check_frames(data, report)
        return evaluate_elsewhere(folder, record, data, results_dir(), _machine_of(record, workers, report))


def export_features(
    run: str | None,
    to: Path,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    changes: Sequence[str] = (),
    dataset: str | None = None,
    images: Path | None = None,
    split: int = 0,
    root: Path | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Write features into the folder `to`; the files.

    Args:
        run: whose model extracts; None: the mean of what `backbone` with `weights` makes of each frame.
        changes: texts KEY=VALUE, of settings that differ from the paper's; for a backbone only.
        dataset, images: of whose tracklets; neither: of the test set of the run.

    Raises:
        UserError: no such run, no model, a missing data set, options that do not fit together, or a folder that cannot be
            written to.
    """
    if dataset is not None and images is not None:
        raise UserError("bench features: give either --dataset NAME or --images DIR")
    if run is None and (backbone is None or weights is None or (dataset is None and images is None)):
        raise UserError("bench features: name a RUN, or give --backbone, --weights, and --images DIR or --dataset NAME")
    if run is not None and (backbone is not None or weights is not None or changes):
        raise UserError(f"bench features: RUN {run} has its own settings; omit --backbone, --weights and --set, or RUN")
    found = None if run is None else find_run_with_model(run)
    with show_progress() as report:
        if found is None:
            settings = resolve("paper", POOLED, [f"backbone={backbone}", f"weights={weights}", *changes])
            machine = make_machine(settings.threads, workers, report)
        else:
            machine = _machine_of(found[1], workers, report)
        if images is not None:
            data = load_folder(images)
        elif dataset is not None:
            data = _load(dataset, split, root, report, features_only=True)
        elif found is not None:
            data = _load_test_data(found[1], root, report)
        check_frames(data, report)
        extractor = extractor_of_backbone(settings, machine) if found is None else extractor_of_run(*found, machine)
        where = "" if dataset is None and images is None else f"-on-{data.name}"
        part = f"-split{split}" if where and split else ""
        return write_features(extractor, data, f"{extractor.name}{where}{part}", to, machine)


def export_model(run: str, to: Path, root: Path | None, workers: int | None) -> tuple[float, Path]:
    """Write a finished run's model to one file, TorchScript or ONNX by its suffix, and its card beside it, NAME.md.

    An earlier export of that name is replaced.

    Args:
        root: the folder of the data set on which the run was tested.

    Returns:
        The largest difference to the features of the harness, as a share of their largest value, and the card.

    Raises:
        UserError: no such run, no model, a stale run, a missing or changed data set, a model that one file cannot hold, or
            another file of that name.
    """
    form = check_format(to)
    refuse_other_files(to)
    folder, record = find_run_with_model(run)
    if reasons := stale_reasons(record, {}):
        raise UserError(f"{record.name}: {'; '.join(reasons)}; run it again with --fresh before it is exported")
    with show_progress() as report:
        data = _load_test_data(record, root, report)
        refuse_other_data(record, data)
        check_frames(data, report)
        model, settings = trained_model(folder, record, _machine_of(record, workers, report))
        query, gallery = test_tracklets(data)
        tested = pd.concat([query, gallery], ignore_index=True)
        difference, compared = export_checked(model, settings, tested, data.store, record.experiment.seed, to)
    same = [each.record for each in finished_runs(results_dir()) if _differs_in_seed_alone(each.record, record)]
    text = card(record, to.name, form, (difference, compared, TOLERANCE[settings.precision]), same)
    written = card_file(to)
    write_atomically(written, text)
    return difference, written


def _differs_in_seed_alone(one: Record, other: Record) -> bool:
    return replace(one.experiment, seed=0) == replace(other.experiment, seed=0) and one.code == other.code


def rank_gallery(
    run: str, count: int, protocol: str | None, queries: list[str], root: Path | None, workers: int | None
) -> tuple[RunFolder, Record, Any]:
    """A finished run, and the ranked gallery of its `count` worst queries, or of those named.

    Raises:
        UserError: no such run or query, no model, or a missing data set.
    """
    folder, record = find_run_with_model(run)
    with show_progress() as report:
        data = _load_test_data(record, root, report)
        check_frames(data, report)
        lists = rank_queries(folder, record, data, _machine_of(record, workers, report), count, protocol, queries)
    return folder, record, lists


def make_machine(
    threads: int, workers: int | None, report: ReportProgress, checkpoint_minutes: float = 10.0
) -> Machine:
    """How a run uses this machine. By default one decoding process for each core that its threads leave free."""
    return Machine(launch.spare_cores(threads) if workers is None else workers, checkpoint_minutes, report)


def _machine_of(record: Record, workers: int | None, report: ReportProgress) -> Machine:
    return make_machine(record.experiment.settings.get("threads", 1), workers, report)


def _load(
    dataset: str, split: int, root: Path | None, report: ReportProgress, features_only: bool = False
) -> LoadedDataset:
    progress = partial(report, "read", note=dataset)
    return load(dataset, split, root, progress, features_only=features_only)


def check_frames(data: LoadedDataset, report: ReportProgress) -> None:
    """Refuse data with bad frames, in one process. Every verb that reads frames calls this before it begins.

    Raises:
        UserError: a frame that cannot be decoded.
    """
    distributed.from_leader(
        lambda: refuse_bad_frames(data, lambda done, total: report("check", done, total, data.name))
    )


def _load_test_data(record: Record, root: Path | None, report: ReportProgress) -> LoadedDataset:
    """The test data of a run, without frames that cannot be decoded if the run left out such."""
    data = _load(record.experiment.test, record.experiment.test_split, root, report)
    return without_bad_frames(data, report) if record.left_out.get(data.key) else data

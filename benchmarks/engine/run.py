"""Run one experiment: from the table of tracklets to a record."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save

from baselines import BASELINES
from baselines.backbones.build import weights_digest
from baselines.backbones.weights import file_digest
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.clips.optical_flow import flow_store
from benchmarks.clips.raft import flow_digest
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.subsets import hold_out, test_tracklets
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.attributes import attributes_digest, training_attributes
from benchmarks.data.loading import LoadedDataset, load
from benchmarks.data.verify import bad_frames, leave_out
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import Settings, from_dict, recipe_label, resolve
from benchmarks.progress import ReportProgress
from benchmarks.runs.checksums import check_file, checked_file, damaged, remove_checked
from benchmarks.runs.cost import Clock, cost, new_record
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Metrics, Record
from benchmarks.runs.same_training import trained_alike
from benchmarks.runs.staleness import stale_reasons
from benchmarks.runs.store import read_record, write_record
from benchmarks.runs.unfinished import start_run, starting_code

from . import distributed
from .model import ReidModel, build_model
from .precision import check_precision
from .recognition import attributes_for, check_recognition, recognise_attributes
from .scoring import find_matcher, fit_metrics, needs_fit, read_metrics, score, validate, validate_epoch, write_metrics
from .training import train

ATTRIBUTES = "baseline.attributes"  # the tensor's name in a file of weights


class Machine(NamedTuple):
    """How a run is executed. None of it is part of the run's identity: it changes no number."""

    workers: int
    checkpoint_minutes: float
    report: ReportProgress

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plan(
    method: str,
    dataset: str,
    *,
    recipe: str | None,
    changes: Sequence[str],
    seed: int,
    split: int,
    root: Path | None,
    report: ReportProgress,
    skip_bad: bool = False,
) -> tuple[Experiment, Settings, LoadedDataset]:
    """The experiment that a command describes, its settings and its data.

    Args:
        skip_bad: whether frames that cannot be decoded are left out of the data.

    Raises:
        UserError: an unknown method, data set, recipe or setting, a missing root, or weights out of reach.
    """
    with distributed.leader_first():
        baseline = BASELINES.get(split_method(method)[0])
        data = load(dataset, split, root, lambda done, total: report("read", done, total, dataset))
    if skip_bad:
        data = without_bad_frames(data, report)
    with distributed.leader_first():
        recipe = recipe or data.dataset.recipe
        settings = resolve(recipe, method, changes)
        weights = weights_digest(settings.backbone, settings.weights)
        label = recipe_label(recipe, settings)
        digests = {"data": data.digest, "test_data": data.digest, "weights": weights}
        if baseline.flow_fields:
            digests["flow_weights"] = flow_digest(settings)
        if baseline.uses_attributes:
            digests["attributes"] = attributes_digest(training_attributes(data))
    experiment = Experiment(
        method, data.name, data.name, settings.recorded(), seed, split, recipe=label, test_split=split, **digests
    )
    return experiment, settings, data


def without_bad_frames(data: LoadedDataset, report: ReportProgress) -> LoadedDataset:
    """The data set without the frames that cannot be decoded. The first process looks for them."""
    bad = distributed.from_leader(lambda: bad_frames(data, lambda done, total: report("check", done, total, data.name)))
    return leave_out(data, bad)


def run(
    experiment: Experiment,
    settings: Settings,
    data: LoadedDataset,
    folder: RunFolder,
    machine: Machine,
    fresh: bool = False,
    tested: bool = True,
) -> Record:
    """Train to the last epoch, extract, evaluate, and write the record. An interrupted run is resumed.

    Where a finished run differs in the test alone, its weights are taken: the same training would end with the same bits.

    Args:
        fresh: delete the results of an earlier run of the same experiment.
        tested: whether the test set is evaluated; if not, the record holds the validation alone.

    Raises:
        UserError: too few training identities, nothing to test, or another process runs the same experiment.
        Stopped: a signal ended the training, which had saved its state.
    """
    if tested:
        check_evaluable(data)
    with distributed.led(folder.lock()), folder.noting_failure():
        done = distributed.from_leader(partial(_begin, experiment, folder, fresh))
        if done is not None:
            return done
        prepare(settings, machine.device)
        clock = Clock()
        training, held_out = hold_out(data, settings)
        with distributed.leader_first():
            flow = flow_for(experiment.method, data, settings, machine)
        rank, world = distributed.rank(), distributed.world()
        batches = TrainingBatches(training, data.store, settings, experiment.seed, flow, rank, world)
        if len(batches.pids) < 2:
            raise UserError(
                f"data set {data.name}: {len(batches.pids)} training identities; a triplet needs 2 at least"
            )
        _check_processes(batches, settings)
        known = attributes_for(experiment.method, data, batches.pids)
        values = torch.from_numpy(known.training) if known else None
        model, _ = build_model(experiment.method, len(batches.pids), settings, experiment.seed, values)
        model.to(machine.device)
        # Now, so that errors of plug-ins do not wait for hours of training:
        find_matcher(model, settings)
        check_recognition(model, known)
        price = cost(model, settings)  # now: a wrong forward is noticed before hours of training
        alike = None if fresh else distributed.from_leader(partial(trained_alike, experiment, folder))
        if alike is not None and not folder.checkpoint.exists():
            load_model(model, alike)
        elif settings.epochs > 0:
            spent = train(
                model,
                batches,
                folder.path,
                checkpoint=folder.checkpoint,
                curves=folder.curves,
                log=folder.log,
                workers=machine.workers,
                checkpoint_minutes=machine.checkpoint_minutes,
                progress=lambda done, total, terms: machine.report("train", done, total, _terms(terms)),
                validate=partial(
                    validate_epoch, model, training, held_out, data.store, machine, clock, experiment.seed, flow
                )
                if held_out is not None and settings.validate_every
                else None,
            )
            clock.note("train", spent.frames, spent.seconds)
            clock.peak_memory = spent.memory
        _write(folder.weights, partial(write_weights, model))
        seed = experiment.seed
        metrics = fit_metrics(model, training, data.store, settings, machine, clock, seed, flow)
        results: list[Metrics] = []
        queries, recognised = pd.DataFrame(), {}
        if tested:
            if needs_fit(settings):
                _write(folder.fitted_metric, partial(write_metrics, metrics))
            results, queries = score(model, data, settings, metrics, machine, clock, seed, flow)
            recognised = recognise_attributes(model, data, known, machine, clock, seed, flow)
        if held_out is not None:
            results += validate(model, held_out, data.store, settings, metrics, machine, seed, flow)
        record = new_record(experiment, results, clock, price, {data.key: data.left_out}, recognised)
        distributed.from_leader(partial(write_record, folder, record, queries))
        distributed.from_leader(partial(remove_checked, folder.checkpoint))
        return record


def _write(file: Path, write: Callable[[Path], None]) -> None:
    """Write a file with its checksum, in the first process. An error there ends all processes."""

    def checked() -> None:
        with checked_file(file) as half:
            write(half)

    distributed.from_leader(checked)


def write_weights(model: ReidModel, file: Path) -> None:
    """Write the state of a model, each tensor copied to memory of its own.

    On a GPU the weights of a recurrent layer share one block (cuDNN's), which safetensors refuses.
    """
    state = {name: value.clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()}
    file.write_bytes(save(state))  # Python's error of a full disk says so; that of `save_file` does not


def _begin(experiment: Experiment, folder: RunFolder, fresh: bool) -> Record | None:
    """Prepare the folder for this run. Returns the record if another process wrote it while this one waited."""
    done = None if fresh else read_record(folder)
    if done is not None:
        return done
    code = code_digest(experiment)
    if fresh or starting_code(folder) not in (None, code):
        folder.clear()  # a run that other code started is not resumed
    start_run(folder, experiment, code)
    return None


def check_evaluable(data: LoadedDataset) -> None:
    """Refuse, before any training, data that cannot be evaluated.

    Raises:
        UserError: no query, no gallery, or an unknown protocol.
    """
    for subset, tracklets in zip(("query", "gallery"), test_tracklets(data), strict=True):
        if tracklets.empty:
            raise UserError(f"data set {data.name}: no {subset} tracklets, so that there is nothing to evaluate")
    if unknown := [name for name in data.protocols if name not in PROTOCOLS]:
        raise UserError(f"data set {data.name}: no protocol {unknown[0]!r}; {nearest(unknown[0], list(PROTOCOLS))}")


def _check_processes(batches: TrainingBatches, settings: Settings) -> None:
    """Refuse a number of processes that does not fit the batches or the settings."""
    world, smallest = distributed.world(), len(batches.pids) // batches.per_epoch * settings.clips
    if world > smallest:
        raise UserError(f"{world} processes: the smallest batch has only {smallest} clips; start fewer processes")
    if settings.statistics_shares not in (1, world):
        raise UserError(
            f"--set statistics_shares={settings.statistics_shares}: there are {world} processes; start as many, or set 1"
        )


def evaluate_elsewhere(source: RunFolder, record: Record, data: LoadedDataset, place: Path, machine: Machine) -> Record:
    """Evaluate a finished run's model on another data set, with a separate record (Table 5 of the paper)."""
    trained = record.experiment
    if (data.name, data.split, data.digest) == (trained.test, trained.test_split, trained.test_data):
        return record
    check_evaluable(data)
    if reasons := stale_reasons(record, {}):
        raise UserError(
            f"{record.name}: {'; '.join(reasons)}; run it again with --fresh before it is evaluated elsewhere"
        )
    _classes(source)
    there = {
        "test": data.name,
        "test_data": data.digest,
        "test_split": data.split,
        "weights": file_digest(source.weights),
    }
    experiment = Experiment(**{**asdict(trained), **there})
    folder = RunFolder(place / experiment.name)
    with distributed.led(folder.lock()), folder.noting_failure():
        done = distributed.from_leader(partial(read_record, folder))
        if done is not None and not stale_reasons(done, {}):
            return done
        distributed.from_leader(partial(start_run, folder, experiment, code_digest(experiment)))
        model, settings = trained_model(source, record, machine)
        with distributed.leader_first():
            flow = flow_for(experiment.method, data, settings, machine)
        clock = Clock()
        metrics = read_metrics(source.fitted_metric, settings)
        results, queries = score(model, data, settings, metrics, machine, clock, experiment.seed, flow)
        left_out = {**record.left_out, data.key: data.left_out}
        record = new_record(experiment, results, clock, cost(model, settings), left_out)
        distributed.from_leader(partial(write_record, folder, record, queries))
        return record


def _classes(folder: RunFolder) -> int:
    """The number of training identities of the final weights.

    Raises:
        UserError: the weights are missing or damaged.
    """
    try:
        check_file(folder.weights)
        with safe_open(folder.weights, framework="pt") as tensors:
            return int(tensors.get_slice("classifier.weight").get_shape()[0])
    except FileNotFoundError:
        raise UserError(
            f"{folder.weights}: not found; runs that were merged from a file come without their weights"
        ) from None
    except SafetensorError as error:
        raise damaged(folder.weights, error) from error


def _attributes(folder: RunFolder) -> torch.Tensor | None:
    """The attributes of the training people that are saved with the final weights, which are there; None if there are none."""
    with safe_open(folder.weights, framework="pt") as tensors:
        return tensors.get_tensor(ATTRIBUTES) if ATTRIBUTES in tensors.keys() else None  # noqa: SIM118


def trained_model(folder: RunFolder, record: Record, machine: Machine) -> tuple[ReidModel, Settings]:
    """The model of a finished run with its final weights, and its settings."""
    classes, attributes = _classes(folder), _attributes(folder)
    experiment = record.experiment
    settings = from_dict({**experiment.settings, "weights": "none"})
    if (
        BASELINES.get(split_method(experiment.method)[0]).flow_fields
        and flow_digest(settings) != experiment.flow_weights
    ):
        raise UserError(f"flow_weights: {settings.flow_weights} is not the file with which {record.name} was trained")
    prepare(settings, machine.device)
    model, _ = build_model(experiment.method, classes, settings, experiment.seed, attributes)
    try:
        load_model(model, folder.weights)
    except RuntimeError as error:  # tensors of other names or shapes
        raise damaged(folder.weights, error) from error
    return model.to(machine.device), settings


def flow_for(method: str, data: LoadedDataset, settings: Settings, machine: Machine) -> FlowStacks | None:
    """The flow of a data set's frames where the method's baseline uses it; computed now if the cache lacks it."""
    fields = BASELINES.get(split_method(method)[0]).flow_fields
    if not fields:
        return None
    return FlowStacks(flow_store(data, settings, partial(machine.report, "flow", note=data.name)), fields)


def prepare(settings: Settings, device: torch.device) -> None:
    """Set the process's threads and matrix products, on which the bits of a result depend. No TF32: float32 is IEEE's.

    Raises:
        UserError: a precision that the machine does not have.
    """
    check_precision(settings.precision, device)
    torch.set_num_threads(settings.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if device.type == "cpu":
        _keep_memory()
    elif settings.precision == "bf16":
        # torch 2.11 compiles a ResNet block by block: eight kinds of them, for each of the two sizes of batch. It stops at 8.
        torch._dynamo.config.recompile_limit = 64


def _keep_memory() -> None:
    """Make malloc keep freed memory: each step frees and allocates its largest arrays, and the kernel clears every page
    of them again, which takes up to a third of a step. Does nothing with a C library other than glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4  # as malloc.h numbers them
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)  # never


def _terms(terms: dict[str, float]) -> str:
    return "  ".join(f"{key.removeprefix('loss_').replace('_', ' ')} {value:.3f}" for key, value in terms.items())

"""The trainer: mmengine's Runner around a loop in which batch i is a function of the seed and i.

A training that is killed at any moment and started again resumes from its last checkpoint and ends with the same bits.
"""

import json
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from baselines.interface.errors import UserError
from benchmarks import launch
from benchmarks.atomic import naming, write_atomically
from benchmarks.clips.training_batches import Batch, TrainingBatches
from benchmarks.clips.workers import prefetched
from benchmarks.experiments.settings import Settings
from benchmarks.runs.checksums import checked_file, damaged, exists_intact
from benchmarks.runs.environment import peak_memory

from . import distributed
from .micro_batches import advice_for_training, naming_setting, refuse_mixed_clips
from .model import ReidModel, code_place
from .optimizer import PrecisionWrapper, make_optimizer, schedules
from .precision import compile_backbones
from .trackers import make_visualizer

# (iterations done, of how many, means of the loss terms and the last validation)
TrainProgress = Callable[[int, int, dict[str, float]], None]
Validate = Callable[[int], dict[str, float]]  # metrics after an epoch, counted from 1; empty where none are due
LOG_SECONDS = 1.0


class DivergedError(UserError):
    """The loss is not finite."""


class Stopped(BaseException):  # like KeyboardInterrupt: not an error, the run resumes later
    """A signal ended the training after it had saved its state."""


class SeededLoop(BaseLoop):
    """All batches in order. A resumed run continues with its next batch and reads no batch again."""

    def __init__(self, runner: Runner, dataloader: DataLoader, workers: int) -> None:
        super().__init__(runner, dataloader)
        self.workers = workers
        self._iter = 0
        self._epoch = 0
        self.stop_training = False

    @property
    def max_iters(self) -> int:
        return len(self.dataloader.dataset)

    @property
    def max_epochs(self) -> int:
        return self.max_iters // max(1, self.dataloader.dataset.per_epoch)

    @property
    def iter(self) -> int:
        return self._iter

    @property
    def epoch(self) -> int:
        return self._epoch

    def run(self) -> torch.nn.Module:
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        with prefetched(self.dataloader.dataset, self.workers, range(self._iter, self.max_iters)) as batches:
            for batch in batches:
                runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
                outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
                runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
                self._iter += 1
                self._epoch = self._iter // self.dataloader.dataset.per_epoch
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model


class Checkpoint(Hook):
    """Saves the state of the run to one file, replaced atomically, every `minutes` and when a signal asks the run to stop.

    The last iteration saves too: a run that is killed after its training keeps the weights and their cost.

    On SIGINT or SIGTERM the current iteration ends, the state is saved, and `Stopped` is raised, at the same iteration in all
    processes, whichever of them received the signal.
    """

    priority = "VERY_LOW"  # after the step of the learning rate, which belongs to the saved iteration

    def __init__(self, file: Path, minutes: float) -> None:
        self.file, self.seconds = file, minutes * 60
        self.last = time.monotonic()
        self.stop_requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals while the block runs. A second signal has its usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def request_stop(number: int, *_: Any) -> None:
            self.stop_requested = True
            if distributed.world() == 1:  # several may get one signal twice, from a launcher and from Slurm
                signal.signal(number, before[signal.Signals(number)])

        try:
            for number in before:
                signal.signal(number, request_stop)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        stop_requested = distributed.anywhere(self.stop_requested)
        ended = runner.iter + 1 == runner.max_iters
        due = stop_requested or ended or time.monotonic() - self.last >= self.seconds
        if due and distributed.leads():
            with checked_file(self.file) as half:
                runner.save_checkpoint(str(half.parent), half.name, by_epoch=False)
            self.last = time.monotonic()
        if stop_requested:
            raise Stopped(f"stopped after iteration {runner.iter + 1} of {runner.max_iters}")

    def before_save_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        # mmengine's history of scalars is not a safe global for torch.load(weights_only=True), and not needed here.
        info = checkpoint["message_hub"]["runtime_info"]
        plain = {key: value for key, value in info.items() if isinstance(value, int | float | str)}
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": plain, "resumed_keys": {}}


class Spent(NamedTuple):
    """The number of frames trained on, the seconds it took, and the peak memory in bytes by kind."""

    frames: int
    seconds: float
    memory: dict[str, int]


class Curves(Hook):
    """Writes the means of the loss terms over each epoch, and validations, to a file of JSON lines, and reports progress."""

    def __init__(
        self,
        file: Path,
        progress: TrainProgress | None,
        validate: Validate | None = None,
        visualizer: Visualizer | None = None,
    ) -> None:
        self.file, self.progress, self.validate, self.visualizer = file, progress, validate, visualizer
        self.validated: dict[str, float] = {}  # the last one
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0
        self.frames, self.earlier, self.began = 0, 0.0, 0.0
        self.memory: dict[str, int] = {}
        self.shown = 0.0

    @property
    def spent(self) -> Spent:
        """In this process and the earlier ones that it resumed from."""
        return Spent(self.frames, self.earlier + time.monotonic() - self.began, peak_memory(self.memory))

    def before_save_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["spent"] = tuple(self.spent)

    def after_load_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        self.frames, self.earlier, self.memory = checkpoint["spent"]

    def before_train(self, runner: Runner) -> None:
        """Remove the lines after the checkpoint's iteration; they are written again."""
        self.began = time.monotonic()
        if distributed.leads() and self.file.exists():
            lines = [line for line in self.file.read_text().splitlines() if _iteration(line) <= runner.iter]
            write_atomically(self.file, "".join(f"{line}\n" for line in lines))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Batch, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        self.frames += data_batch.labels.numel() * data_batch.frames.shape[1]
        for key, value in (outputs or {}).items():
            self.sums[key] = self.sums.get(key, 0) + value.detach()  # reading the value would wait for the device
        self.count += 1
        done, per_epoch = batch_idx + 1, runner.train_loop.dataloader.dataset.per_epoch
        ended, due = done % per_epoch == 0, time.monotonic() - self.shown > LOG_SECONDS or done == runner.max_iters
        due = distributed.anywhere(due)  # all processes notice a loss that is not finite at the same time
        if not ended and not due:
            return
        means = {key: total.item() / self.count for key, total in self.sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise DivergedError(
                f"the loss is not finite at iteration {done}: {means}; a lower lr may help (--set lr=...)"
            )
        validated = self._validated(done // per_epoch) if ended else {}
        if due and self.progress is not None:
            self.progress(done, runner.max_iters, means | self.validated)
            self.shown = time.monotonic()
        if ended:
            line: dict[str, float] = {
                "epoch": done // per_epoch,
                "iteration": done,
                "lr": runner.optim_wrapper.get_lr()["lr"][-1],  # not the backbone's
                "means_of": self.count,
                **{key: round(value, 6) for key, value in (means | validated).items()},
            }
            if distributed.leads():
                with naming(self.file), open(self.file, "a") as stream:
                    stream.write(json.dumps(line) + "\n")
            if self.visualizer is not None:
                self.visualizer.add_scalars(line, step=done)  # by the leader alone
            runner.logger.info("  ".join(f"{key} {value:g}" for key, value in line.items()))
            self.sums, self.count = {}, 0

    def _validated(self, epoch: int) -> dict[str, float]:
        """The validation after an epoch, if one is due. Its time is not that of the training."""
        began = time.monotonic()
        validated = self.validate(epoch) if self.validate is not None else {}
        self.validated = validated or self.validated
        self.began += time.monotonic() - began
        return validated


def _iteration(line: str) -> float:
    """The iteration of a line of the curves; infinity for a truncated line."""
    try:
        return float(json.loads(line)["iteration"])
    except ValueError:
        return math.inf


def _is_from_this_module(line: logging.LogRecord) -> bool:
    """Whether a line of the log is from this module and not from mmengine's hooks."""
    return line.pathname == __file__


class LogFile(logging.FileHandler):
    """Raises the error of a line that cannot be written; logging would print its traceback and go on."""

    def emit(self, record: logging.LogRecord) -> None:
        with naming(Path(self.baseFilename)):
            super().emit(record)

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
        raise


class BenchRunner(Runner):
    """mmengine's Runner, writing one log file into the run's folder and no folders or configuration of its own."""

    def __init__(self, *args: Any, log_file: Path, **kwargs: Any) -> None:
        self.log_file = log_file
        super().__init__(*args, **kwargs)
        with suppress(FileNotFoundError):  # another process removed it first
            Path(self._log_dir).rmdir()

    def build_logger(self, log_level: str = "INFO", *_: Any, **__: Any) -> MMLogger:
        logger = MMLogger.get_instance(self._experiment_name, logger_name="bench", log_level=log_level)
        logger.handlers = [LogFile(self.log_file) if distributed.leads() else logging.NullHandler()]
        logger.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.filters = [_is_from_this_module]
        return logger

    def wrap_model(self, _: Any, model: torch.nn.Module) -> torch.nn.Module:
        """The model is already on its device, which may differ from mmengine's choice."""
        return model

    def resume(self, filename: str, *_: Any, **__: Any) -> None:
        """Load to the CPU, where the optimizer's step counts belong: on a GPU, reading each of them would wait for the device.

        Raises:
            UserError: the file is damaged.
        """
        try:
            with redirect_stdout(None):  # mmengine prints the file names
                super().resume(filename, map_location="cpu")
        except Exception as error:  # torch.load raises many kinds
            raise damaged(Path(filename), error) from error

    def _init_model_weights(self) -> None:
        """The weights are initialised already; mmengine would log all their names."""

    def dump_config(self) -> None:
        """The run's settings are in experiment.json already."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """The record describes the environment."""


def train(
    model: ReidModel,
    batches: TrainingBatches,
    folder: Path,
    *,
    checkpoint: Path | None,
    curves: Path,
    log: Path,
    workers: int,
    checkpoint_minutes: float,
    progress: TrainProgress | None = None,
    validate: Validate | None = None,
) -> Spent:
    """Train `model` in place to its last epoch, from `checkpoint` if that file exists. None: no state is saved.

    Returns:
        The cost of the training in this process and the earlier ones that it resumed from, without work that was lost.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss is not finite.
        UserError: the checkpoint is damaged.
    """
    settings: Settings = batches.settings
    refuse_mixed_clips(model.baseline, settings.micro_batch)
    distributed.see_whole_batches(model.baseline, settings.statistics_shares)
    resume = checkpoint is not None and distributed.from_leader(partial(exists_intact, checkpoint))
    if settings.precision == "bf16":
        compile_backbones(model)
    # Curves before checkpoints: every line up to a checkpoint is in the file before the checkpoint is.
    visualizer = make_visualizer(folder, settings)
    written = Curves(curves, progress, validate, visualizer)
    saved = [Checkpoint(checkpoint, checkpoint_minutes)] if checkpoint is not None else []
    listening = saved[0].listening() if saved else nullcontext()
    with warnings.catch_warnings(), _quiet(), listening, closing(visualizer) if visualizer else nullcontext():
        warnings.simplefilter("ignore")
        runner = BenchRunner(
            model=model,
            work_dir=str(folder),
            train_dataloader=DataLoader(batches, batch_size=None),
            train_cfg={"type": SeededLoop, "workers": workers},
            optim_wrapper=PrecisionWrapper(make_optimizer(model), settings),
            param_scheduler=schedules(settings, batches.per_epoch),
            default_hooks={
                "timer": None,
                "logger": None,
                "checkpoint": None,
                "sampler_seed": None,
                "runtime_info": None,
            },
            custom_hooks=[*own_hooks(model), written, *saved],
            load_from=str(checkpoint) if resume else None,
            resume=resume,
            launcher=launch.process_info().launcher if distributed.world() > 1 else "none",
            randomness={"seed": 0},  # unused
            experiment_name=folder.name,
            log_file=log,
        )
        with naming_setting(
            advice_for_training(model.baseline, settings.identities * settings.clips, settings.micro_batch)
        ):
            runner.train()
    return written.spent


def own_hooks(model: ReidModel) -> list[Hook]:
    """The hooks of the baseline's own.

    Raises:
        UserError: others than mmengine's; the message names the file and line of its method.
    """
    hooks = list(model.baseline.hooks())
    if wrong := [hook for hook in hooks if not isinstance(hook, Hook)]:
        where = code_place(type(model.baseline).hooks)
        raise UserError(f"{where}: hooks returns {wrong[0]!r}; it must return instances of mmengine.hooks.Hook")
    return hooks


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the root logger, through whose handlers mmengine logs as well; a run has its own file."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)

"""The one trainer: mmengine's Runner around a loop in which batch i is a function of the seed and i.

Killed at any moment and started again, training goes on from its last checkpoint with the bits of an undisturbed run.
"""

import json
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from baselines.interface.errors import UserError
from benchmarks import launch
from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.clips.training_batches import Batch, TrainingBatches
from benchmarks.clips.workers import ahead
from benchmarks.experiments.settings import Settings

from . import distributed
from .model import ReidModel
from .precision import autocast, compile_backbones

TrainProgress = Callable[[int, int, dict[str, float]], None]  # (iterations done, of how many, means of the loss terms)
LOG_SECONDS = 1.0


class DivergedError(UserError):
    """The loss is not finite."""


class Stopped(BaseException):  # as KeyboardInterrupt: no error, the run goes on later
    """A signal ended the training after it had saved its state."""


class SeededLoop(BaseLoop):
    """Batches `start` to the last, in order; a resumed run begins at its own `start` and re-reads nothing."""

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
        with ahead(self.dataloader.dataset, self.workers, range(self._iter, self.max_iters)) as batches:
            for batch in batches:
                runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
                outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
                runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
                self._iter += 1
                self._epoch = self._iter // self.dataloader.dataset.per_epoch
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model


class PrecisionWrapper(OptimWrapper):
    """Forward and loss under autocast where the precision asks for it; mmengine's own refuses the CPU."""

    def __init__(self, optimizer: torch.optim.Optimizer, precision: str) -> None:
        super().__init__(optimizer)
        self.precision = precision

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(self.precision, next(model.parameters()).device):
            yield

    def step(self, **options: Any) -> None:
        """One step with the gradient of all processes."""
        distributed.average_gradients(p for group in self.optimizer.param_groups for p in group["params"])
        super().step(**options)


class Checkpoint(Hook):
    """Every `minutes`, the state of the run in one file, replaced whole; and once more when the run is asked to stop.

    While a training runs, SIGINT and SIGTERM let the iteration under way end, save, and raise `Stopped`: the same iteration in
    all processes, whichever of them was told.
    """

    priority = "VERY_LOW"  # after the scheduler's step, which belongs to the iteration that is saved

    def __init__(self, file: Path, minutes: float) -> None:
        self.file, self.seconds = file, minutes * 60
        self.last = time.monotonic()
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals for the time of a training; a second one does what it did before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def ask(number: int, *_: Any) -> None:
            self.asked = True
            if distributed.world() == 1:  # several may get one signal twice, from a launcher and from Slurm
                signal.signal(number, before[signal.Signals(number)])

        try:
            for number in before:
                signal.signal(number, ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        asked = distributed.anywhere(self.asked)
        due = asked or time.monotonic() - self.last >= self.seconds
        if due and distributed.leads():
            with atomic_file(self.file) as half:
                runner.save_checkpoint(str(half.parent), half.name, by_epoch=False)
            self.last = time.monotonic()
        if asked:
            raise Stopped(f"stopped after iteration {runner.iter + 1} of {runner.max_iters}")

    def before_save_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        # mmengine's history of scalars is not a safe global for torch.load(weights_only=True), and not needed here.
        info = checkpoint["message_hub"]["runtime_info"]
        plain = {key: value for key, value in info.items() if isinstance(value, int | float | str)}
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": plain, "resumed_keys": {}}


class Spent(NamedTuple):
    """Frames trained on, and the seconds that it took."""

    frames: int
    seconds: float


class Curves(Hook):
    """Means of the loss terms over each epoch to a file of JSON lines; progress to whoever watches."""

    def __init__(self, file: Path, progress: TrainProgress | None) -> None:
        self.file, self.progress = file, progress
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0
        self.frames, self.earlier, self.began = 0, 0.0, 0.0
        self.shown = 0.0

    @property
    def spent(self) -> Spent:
        """All that led to the model as it is now, in this process and those before it."""
        return Spent(self.frames, self.earlier + time.monotonic() - self.began)

    def before_save_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["spent"] = tuple(self.spent)

    def after_load_checkpoint(self, _: Runner, checkpoint: dict[str, Any]) -> None:
        self.frames, self.earlier = checkpoint["spent"]

    def before_train(self, runner: Runner) -> None:
        """Lines after the checkpoint's iteration are written again: cut them off."""
        self.began = time.monotonic()
        if distributed.leads() and self.file.exists():
            lines = [line for line in self.file.read_text().splitlines() if _iteration(line) <= runner.iter]
            write_atomically(self.file, "".join(f"{line}\n" for line in lines))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Batch, outputs: dict[str, torch.Tensor] | None = None
    ) -> None:
        self.frames += data_batch.labels.numel() * data_batch.frames.shape[1]
        for key, value in (outputs or {}).items():
            self.sums[key] = self.sums.get(key, 0) + value.detach()  # not yet read: reading waits for the device
        self.count += 1
        done, per_epoch = batch_idx + 1, runner.train_loop.dataloader.dataset.per_epoch
        ended, due = done % per_epoch == 0, time.monotonic() - self.shown > LOG_SECONDS or done == runner.max_iters
        due = distributed.anywhere(due)  # so that all processes see at once that a loss is not finite
        if not ended and not due:
            return
        means = {key: total.item() / self.count for key, total in self.sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise DivergedError(
                f"the loss is not finite at iteration {done}: {means}; a lower lr may help (--set lr=...)"
            )
        if due and self.progress is not None:
            self.progress(done, runner.max_iters, means)
            self.shown = time.monotonic()
        if ended:
            line = {
                "epoch": done // per_epoch,
                "iteration": done,
                "lr": runner.optim_wrapper.get_lr()["lr"][0],
                "means_of": self.count,
                **{key: round(value, 6) for key, value in means.items()},
            }
            if distributed.leads():
                with open(self.file, "a") as stream:
                    stream.write(json.dumps(line) + "\n")
            runner.logger.info("  ".join(f"{key} {value:g}" for key, value in line.items()))
            self.sums, self.count = {}, 0


def _iteration(line: str) -> float:
    """Of a line of the curves; a line cut off by a sudden end belongs to none."""
    try:
        return float(json.loads(line)["iteration"])
    except ValueError:
        return math.inf


def _ours(line: logging.LogRecord) -> bool:
    """The log holds what this file says, and not mmengine's hooks and hints."""
    return line.pathname == __file__


class BenchRunner(Runner):
    """mmengine's Runner writing into a run's folder: one log file, and no folder, configuration or picture of its own."""

    def __init__(self, *args: Any, log_file: Path, **kwargs: Any) -> None:
        self.log_file = log_file
        super().__init__(*args, **kwargs)
        with suppress(FileNotFoundError):  # where another process was quicker
            Path(self._log_dir).rmdir()

    def build_logger(self, log_level: str = "INFO", *_: Any, **__: Any) -> MMLogger:
        logger = MMLogger.get_instance(self._experiment_name, logger_name="bench", log_level=log_level)
        logger.handlers = [logging.FileHandler(self.log_file) if distributed.leads() else logging.NullHandler()]
        logger.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.filters = [_ours]
        return logger

    def wrap_model(self, _: Any, model: torch.nn.Module) -> torch.nn.Module:
        """The model is on its device already, which need not be the one that mmengine would choose."""
        return model

    def resume(self, filename: str, *_: Any, **__: Any) -> None:
        """By way of the processor, where Adam's counts of steps belong: read from a GPU, each would be waited for."""
        with redirect_stdout(None):  # mmengine prints what it loads
            super().resume(filename, map_location="cpu")

    def _init_model_weights(self) -> None:
        """The weights are drawn already; mmengine would fill the log with their names."""

    def dump_config(self) -> None:
        """The run's settings have a file already."""

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """The record names the environment."""


def adam(model: ReidModel) -> torch.optim.Adam:
    """Adam with L2 weight decay on all parameters (section 3.3); float32 keeps torch's choice of its form, and so its bits."""
    settings = model.settings
    fused = True if settings.precision == "bf16" else None
    return torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)


def train(
    model: ReidModel,
    batches: TrainingBatches,
    folder: Path,
    *,
    checkpoint: Path,
    curves: Path,
    log: Path,
    workers: int,
    checkpoint_minutes: float,
    progress: TrainProgress | None = None,
) -> Spent:
    """Train `model` in place to its last epoch, from `checkpoint` if the file is there.

    The learning rate is multiplied by lr_gamma every lr_step epochs (section 3.3).

    Returns:
        What the training took, in this process and in those that it went on from; what was lost between them is not in it.

    Raises:
        Stopped: a signal came; the state is saved.
        DivergedError: the loss is not finite.
    """
    settings: Settings = batches.settings
    step = settings.lr_step * batches.per_epoch
    distributed.see_whole_batches(model.baseline, settings.statistics_shares)
    resume = distributed.from_leader(checkpoint.exists)
    if settings.precision == "bf16":
        compile_backbones(model)
    # Curves first: a checkpoint never lacks a line that came before it.
    written, saved = Curves(curves, progress), Checkpoint(checkpoint, checkpoint_minutes)
    with warnings.catch_warnings(), _quiet(), saved.listening():
        warnings.simplefilter("ignore")
        runner = BenchRunner(
            model=model,
            work_dir=str(folder),
            train_dataloader=DataLoader(batches, batch_size=None),
            train_cfg={"type": SeededLoop, "workers": workers},
            optim_wrapper=PrecisionWrapper(adam(model), settings.precision),
            param_scheduler={"type": "StepLR", "step_size": step, "gamma": settings.lr_gamma, "by_epoch": False},
            default_hooks={
                "timer": None,
                "logger": None,
                "checkpoint": None,
                "sampler_seed": None,
                "runtime_info": None,
            },
            custom_hooks=[written, saved],
            load_from=str(checkpoint) if resume else None,
            resume=resume,
            launcher=launch.process_info().launcher if distributed.world() > 1 else "none",
            randomness={"seed": 0},  # nothing draws from it
            experiment_name=folder.name,
            log_file=log,
        )
        runner.train()
    return written.spent


@contextmanager
def _quiet() -> Iterator[None]:
    """mmengine also logs through the root logger's handlers; a run has its own file."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)

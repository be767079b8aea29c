"""Programs in which a training can be watched: TensorBoard and Weights & Biases, by mmengine's visualizer backends."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend, TensorboardVisBackend, WandbVisBackend

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.experiments.settings import Settings
from benchmarks.paths import trackers


class Wandb(WandbVisBackend):
    """mmengine 0.10 closes it by `wandb.join`, which newer versions do not have."""

    def close(self) -> None:
        if hasattr(self, "_wandb"):
            self._wandb.finish()


def _tensorboard(folder: Path, _: Settings) -> BaseVisBackend:
    return TensorboardVisBackend(str(folder / "tensorboard"))


def _wandb(folder: Path, settings: Settings) -> BaseVisBackend:
    """A run of the project afa-bench. A training that resumes goes on with it."""
    init = {"project": "afa-bench", "name": folder.name, "id": folder.name, "resume": "allow"}
    return Wandb(str(folder), {**init, "config": settings.as_dict()})


TRACKERS: dict[str, Callable[[Path, Settings], BaseVisBackend]] = {"tensorboard": _tensorboard, "wandb": _wandb}


def make_visualizer(folder: Path, settings: Settings) -> Visualizer | None:
    """What writes the curves of the run in `folder` to the trackers that BENCH_TRACKERS names; None if it names none.

    Raises:
        UserError: an unknown tracker, one whose package is not installed, or one that cannot begin, such as Weights & Biases
            without a login.
    """
    chosen = dict.fromkeys(trackers())
    for name in chosen:
        if name not in TRACKERS:
            raise UserError(f"BENCH_TRACKERS: no tracker {name!r}; {nearest(name, list(TRACKERS))}")
        try:
            import_module(name)
        except ImportError as error:
            raise UserError(f"BENCH_TRACKERS: {error}; pip install {name}, or unset BENCH_TRACKERS") from error
    if not chosen:
        return None
    return Visualizer(folder.name, vis_backends=[_begun(name, TRACKERS[name](folder, settings)) for name in chosen])


def _begun(name: str, backend: BaseVisBackend) -> BaseVisBackend:
    """The backend, begun now: by itself it begins with the first curve, after an epoch of training."""
    try:
        backend.experiment  # noqa: B018 - a property that begins it
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"BENCH_TRACKERS: {name}: {reason}; fix it, or unset BENCH_TRACKERS") from error
    return backend

"""What a run cost, and the record that says so: time a phase, parameters, multiply-adds, memory, where it was made."""

import time
import warnings
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from benchmarks.engine.model import ReidModel
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import Settings

from . import environment, records
from .records import Record


class Clock:
    """Seconds, frames (tracklets for evaluation) and their ratio, a phase."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self.phases: dict[str, dict[str, float]] = {}
        environment.git()  # now, and not when the run ends: the code that runs is the one that was imported
        self.start()

    def start(self) -> None:
        """A phase begins now."""
        self.last = time.perf_counter()

    def lap(self, phase: str, items: int) -> None:
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        self.note(phase, items, seconds)

    def note(self, phase: str, items: int, seconds: float) -> None:
        """A phase of which the time is known."""
        self.phases[phase] = {"seconds": seconds, "items": items, "per_second": items / seconds}


def cost(model: ReidModel, settings: Settings) -> dict[str, float]:
    """Parameters of the baseline (the classifier is not used at test), and multiply-adds of one frame of a clip.

    Raises:
        UserError: the baseline's `forward` returns something else than the one rule says; its file and line are named.
    """
    from torch.utils.flop_counter import FlopCounterMode

    device = next(model.parameters()).device
    clip = torch.zeros(1, settings.clip_frames, 3, settings.height, settings.width, dtype=torch.uint8, device=device)
    model.eval()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        for library in (torch.backends.mkldnn, torch.backends.cudnn):  # the counter does not see into their LSTM
            stack.enter_context(library.flags(enabled=False))
        stack.enter_context(torch.no_grad())
        counter = stack.enter_context(FlopCounterMode(display=False))
        model(clip, flow=clip[:, :, :2])
    parameters = sum(parameter.numel() for parameter in model.baseline.parameters())
    return {"parameters": parameters, "multiply_adds": counter.get_total_flops() / 2 / settings.clip_frames}


def new_record(
    experiment: Experiment,
    results: list[dict[str, Any]],
    clock: Clock,
    price: dict[str, float] | None = None,
) -> Record:
    """What a record holds: what the run is, what came out, and where it was made. Fractions; bytes; seconds."""
    return {
        "format": records.FORMAT,
        "name": experiment.name,
        "experiment": asdict(experiment),
        "code": code_digest(experiment),
        "metrics": results,
        "cost": price,
        "phases": clock.phases,
        "peak_memory": environment.peak_memory(),
        "environment": environment.describe(),
        "started": clock.began.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }

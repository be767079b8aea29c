"""The costs of a run: time by phase, parameters and multiply-adds; and the record that contains them."""

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import MappingProxyType

import torch

from baselines.interface.errors import UserError
from benchmarks.data.loading import data_note
from benchmarks.engine.model import ReidModel, code_place
from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.settings import Settings
from benchmarks.parsing import LONGEST_TEXT

from . import environment
from .record import FORMAT, Cost, Metrics, Phase, Recognition, Record


class Clock:
    """Measures the phases of a run: seconds, frames (tracklets for the evaluation) and their ratio."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC).replace(microsecond=0)
        self.phases: dict[str, Phase] = {}
        self.peak_memory: dict[str, int] = {}  # of earlier processes of the run
        environment.git_state()  # now, not when the run ends: the code that runs is the code that was imported
        self.start()

    def start(self) -> None:
        """A phase starts now."""
        self.last = time.perf_counter()

    def lap(self, phase: str, items: int) -> None:
        """A phase ends now, and the next one starts."""
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        self.note(phase, items, seconds)

    def note(self, phase: str, items: int, seconds: float) -> None:
        """Note a phase that was timed elsewhere."""
        self.phases[phase] = Phase(seconds, items, items / seconds)


def cost(model: ReidModel, settings: Settings) -> Cost:
    """Parameters of the baseline (the classifier is not used at test), and multiply-adds for one frame of a clip.

    Raises:
        UserError: the baseline's `forward` returns something other than its contract says, or does not use the backbone that
            the record and the tables would name; its file and line are named.
    """
    from torch.utils.flop_counter import FlopCounterMode

    device = next(model.parameters()).device
    clip = torch.zeros(1, settings.clip_frames, 3, settings.height, settings.width, dtype=torch.uint8, device=device)
    fields = model.baseline.flow_fields
    flow = clip[:, :, None, :2].expand(-1, -1, fields, -1, -1, -1) if fields else None
    model.eval()
    used: list[torch.nn.Module] = []
    with ExitStack() as stack:
        for part in model.baseline.backbone.modules():
            stack.callback(part.register_forward_pre_hook(lambda part, _: used.append(part)).remove)
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        for library in (torch.backends.mkldnn, torch.backends.cudnn):  # the counter cannot see into their LSTM
            stack.enter_context(library.flags(enabled=False))
        stack.enter_context(torch.no_grad())
        counter = stack.enter_context(FlopCounterMode(display=False))
        model(clip, flow=flow)
    if not used:
        raise UserError(
            f"{code_place(type(model.baseline).forward)}: forward of {type(model.baseline).__name__} does not use the backbone "
            f"{settings.backbone}, which tables would name; register the model's own with `trunk`, as docs/extending.md shows"
        )
    parameters = sum(parameter.numel() for parameter in model.baseline.parameters())
    return Cost(parameters, counter.get_total_flops() / 2 / settings.clip_frames)


def new_record(
    experiment: Experiment,
    metrics: Sequence[Metrics],
    clock: Clock,
    price: Cost | None = None,
    left_out: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    recognised: Mapping[str, Recognition] = MappingProxyType({}),
) -> Record:
    """The record of a run that ends now, in this environment, by the code that is imported.

    Args:
        left_out: by `DATASET/SPLIT`, the frames that were left out and why.
        recognised: how well each attribute is recognised, by its name.

    Raises:
        ValueError: the experiment's baseline is not loaded.
    """
    code = code_digest(experiment)
    if code is None:
        raise ValueError(f"{experiment.method}: its baseline is not loaded")
    return Record(
        format=FORMAT,
        name=experiment.name,
        experiment=experiment,
        code=code,
        metrics=list(metrics),
        cost=price,
        phases=clock.phases,
        peak_memory=environment.peak_memory(clock.peak_memory),
        environment=environment.describe(),
        started=clock.started,
        finished=datetime.now(UTC).replace(microsecond=0),
        data_notes={data[0]: note for data in experiment.data_read if (note := _note(data, left_out))},
        left_out={data: dict(frames) for data, frames in left_out.items() if frames},
        recognised=dict(recognised),
    )


def _note(data: tuple[str, int, str], left_out: Mapping[str, Mapping[str, str]]) -> str:
    """The caution about the data that every table prints, cut to the length that a record may hold."""
    name, split, _ = data
    count = len(left_out.get(f"{name}/{split}", ()))
    frames = f"without {count:,} {'frame' if count == 1 else 'frames'} that cannot be read" if count else ""
    return "; ".join(filter(None, (frames, data_note(*data))))[:LONGEST_TEXT]

"""Measure the paper's MARS recipe on a machine with a GPU: one command, in minutes, without a network.

    python -m benchmarks.speed.gpu [--to FILE] [--minutes 9] [--tiny]

It draws as many people as MARS has, if time permits, and measures ResNet-50 at 256x128 with the paper's batch. The most important
measurements come first, and each figure is written as soon as it is known, so that a time limit loses only the rest. Figures are
frames per second unless noted otherwise: the median of five windows of two seconds, and as `_spread` the range of the windows as
a share of it. `benchmarks.reporting.gpu` prints the record as tables.
"""

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from baselines import BASELINES
from baselines.interface.baseline import Clips
from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically
from benchmarks.clips.optical_flow import flow_store
from benchmarks.clips.reading import FlowStacks
from benchmarks.clips.subsets import test_tracklets
from benchmarks.clips.training_batches import Batch, TrainingBatches
from benchmarks.data.frame_stores import Store
from benchmarks.data.loading import LoadedDataset
from benchmarks.engine.extraction import extract
from benchmarks.engine.model import ReidModel
from benchmarks.engine.precision import autocast, check_precision, compile_backbones
from benchmarks.engine.scoring import rank_tracklets
from benchmarks.engine.training import train
from benchmarks.evaluation.distances import FeatureDistances
from benchmarks.evaluation.metrics import fixed_metric
from benchmarks.experiments.settings import Settings, change, resolve
from benchmarks.launch import spare_cores
from benchmarks.runs import environment

from .drawing import draw_within, drawn_dataset
from .reference import CLASSES, CPU, NOISE, embed_bare, features, model_of, product, random_batch, train_bare
from .windows import WINDOWS, Rate, median_seconds, rate_of_steps, window_rates

Row = dict[str, Any]
FIRST = ("mean+afa", "mean")  # measured before all others, in both precisions
NEXT = ("cnn3d", "flow", "qan", "lstm")  # then the other baselines
PRECISIONS = ("bf16", "float32")
# The largest difference to float32 on the CPU, as a share: of a loss term, and of the features by their norms.
TOLERANCE = {"float32": 1e-3, "bf16": 0.1}
CLOSING_SECONDS = 15.0  # seconds before the last moment, in which the command closes by itself


def possible(device: torch.device) -> list[str]:
    """PRECISIONS without those that the device could only emulate."""
    found = []
    for precision in PRECISIONS:
        with suppress(UserError):
            check_precision(precision, device)
            found.append(precision)
    return found


class Scale(NamedTuple):
    """How large everything is.

    Attributes:
        baselines: beside FIRST, in this order.
        draw, window: seconds for drawing, and for one of the WINDOWS of a figure.
        frames: of the test set that is extracted.
    """

    dataset: str
    recipe: str
    changes: tuple[str, ...]
    baselines: tuple[str, ...]
    draw: float
    window: float
    frames: int


OTHER_METHODS = (*NEXT, *(name for name in BASELINES.names() if name not in (*FIRST, *NEXT)))
MARS = Scale("walkers:mars", "mars", ("weights=none",), OTHER_METHODS, 40.0, 2.0, 10_000)
FEW = ("identities=2", "clips=2", "clip_frames=2", "threads=1")
TINY = Scale("walkers:tiny", "small", FEW, ("cnn3d", "flow"), 60.0, 0.0, 100)


class TimeIsUp(BaseException):
    """The time limit has ended the measurement."""


class Sheet:
    """The record, written whole with each new figure."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.record: Row = {"methods": [], "complete": False}

    def note(self, row: Row, **figures: Any) -> None:
        """Add figures to the record, or to a row of it."""
        row.update(figures)
        write_atomically(self.file, json.dumps(self.record, indent=1) + "\n")
        print(" ".join(str(row.get(key, "")) for key in ("method", "precision")), figures, file=sys.stderr, flush=True)


def measure(scale: Scale, sheet: Sheet, device: torch.device, folder: Path) -> None:
    """Everything, the most important first."""
    recipe = resolve(scale.recipe, FIRST[0], scale.changes)
    sheet.note(
        sheet.record,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=asdict(environment.describe()),
        recipe={"name": scale.recipe, **recipe.recorded()},
        recipe_frames=recipe.epochs * CLASSES * recipe.clips * recipe.clip_frames,
    )
    began = time.perf_counter()
    data = draw_within(scale.draw, scale.dataset, folder, len(os.sched_getaffinity(0)))
    whole = drawn_dataset(scale.dataset).tracklets()
    sheet.note(
        sheet.record,
        drawn={
            "name": scale.dataset,
            "tracklets": len(data.table),
            "of_tracklets": len(whole),
            "frames": int(data.table.frames.map(len).sum()),
            "of_frames": int(whole.frames.map(len).sum()),
            "seconds": time.perf_counter() - began,
        },
    )
    sheet.note(sheet.record, agreement=list(agreement(scale, device)))
    rows, precisions = Rows(scale, sheet, device, data), possible(device)
    for method in FIRST:
        for precision in precisions:
            rows.measure(method, precision)
    sheet.note(sheet.record, evaluation=evaluation(whole, data, recipe, device))
    for precision in precisions:  # every method in the first before any in the second
        for baseline in scale.baselines:
            for method in (f"{baseline}+afa", baseline):
                rows.measure(method, precision)
    sheet.note(sheet.record, complete=True)


class Rows:
    """A row of figures for each method and precision."""

    def __init__(self, scale: Scale, sheet: Sheet, device: torch.device, data: LoadedDataset) -> None:
        self.scale, self.sheet, self.device, self.data = scale, sheet, device, data
        self.at_test: dict[tuple[str, str], Row] = {}  # by baseline and precision: AFA is not there at test
        self.kept_flow: tuple[LoadedDataset, Store] | None = None

    def measure(self, method: str, precision: str) -> None:
        """Measure a row; if it fails, note the error in it."""
        row: Row = {"method": method, "precision": precision}
        self.sheet.record["methods"].append(row)
        try:
            self._fill(row)
        except Exception as error:  # the next row may do
            self.sheet.note(row, failed=f"{type(error).__name__}: {str(error).partition(os.linesep)[0]}")

    def _fill(self, row: Row) -> None:
        method, precision, note = row["method"], row["precision"], self.sheet.note
        settings = resolve(self.scale.recipe, method, [*self.scale.changes, f"precision={precision}"])
        model = model_of(method, settings, self.device)
        batch = on(self.device, random_batch(settings, model.baseline.flow_fields))
        data, flow = self._with_flow(model) if model.baseline.flow_fields else (self.data, None)

        def bare() -> Rate:
            frames = len(batch.labels) * settings.clip_frames
            return rate_of_steps(lambda steps: train_bare(model, batch, steps), frames, self.scale.window, self.device)

        if self.device.type == "cuda":
            gc.collect()  # the models of rows before
            torch.cuda.reset_peak_memory_stats()
        if precision == "bf16":
            if method in FIRST:
                note(row, eager=bare().median)
            began = time.perf_counter()
            compile_backbones(model)
            train_bare(model, batch, 1)
            note(row, compile_seconds=time.perf_counter() - began)
        rate = bare()
        note(row, bare=rate.median, bare_spread=rate.spread)
        rate = self._harness(model, data, flow, rate.median)
        note(row, harness=rate.median, harness_spread=rate.spread, memory=environment.peak_memory().get("gpu"))
        baseline = (method.partition("+")[0], precision)
        if baseline not in self.at_test:
            self.at_test[baseline] = self._at_test(model, data, flow)
        note(row, **self.at_test[baseline])

    def _harness(self, model: ReidModel, data: LoadedDataset, flow: FlowStacks | None, bare: float) -> Rate:
        """The trainer with its loading, once its workers are ahead, on batches as large as all of the paper's but one."""
        settings = model.settings
        training = data.table[data.table.subset == "train"]
        pids = np.unique(training.pid)
        pids = pids[: len(pids) // settings.identities * settings.identities]
        batches = FirstBatches(training[training.pid.isin(pids)], data.store, settings, seed=0, flow=flow)
        size = settings.identities * settings.clips * settings.clip_frames
        batches.count = max(2 * WINDOWS, round(2 * WINDOWS * self.scale.window * bare / size))  # half of it to warm up
        marks = [
            (0, time.perf_counter())
        ]  # further ones after a look at the losses, and so at what the device has done
        with tempfile.TemporaryDirectory() as place:
            train(
                model,
                batches,
                Path(place),
                checkpoint=None,
                curves=Path(place, "curves"),
                log=Path(place, "log"),
                workers=spare_cores(settings.threads),
                checkpoint_minutes=60,
                progress=lambda done, *_: marks.append((done * size, time.perf_counter())),
            )
        return Rate.of(window_rates(marks))

    def _at_test(self, model: ReidModel, data: LoadedDataset, flow: FlowStacks | None) -> Row:
        """Extraction with its loading, and the forward pass alone on batches as large as its."""
        settings = model.settings
        tracklets = pd.concat(test_tracklets(data))
        tracklets = tracklets[tracklets.frames.map(len).cumsum() <= self.scale.frames]
        marks: list[tuple[int, float]] = []

        def read(done: int, _: int) -> None:
            marks.append((done, time.perf_counter()))

        for _ in range(2):  # the first reading warms the cache of files; the second is measured
            marks[:] = [(0, time.perf_counter())]
            extract(model, tracklets, data.store, settings, spare_cores(settings.threads), progress=read, flow=flow)
        steps = settings.test_chunk
        shape = (256 // steps, steps, settings.height, settings.width)
        pixels = torch.rand(*shape, 3, device=self.device).permute(0, 1, 4, 2, 3)
        fields = model.baseline.flow_fields
        motion = torch.rand(*shape[:2], fields, 2, *shape[2:], device=self.device) if fields else None

        def forward(times: int) -> None:
            for _ in range(times):
                embed_bare(model, Clips(pixels, motion))

        with torch.compiler.set_stance("force_eager"):
            alone = rate_of_steps(forward, shape[0] * steps, self.scale.window, self.device)
        extraction = Rate.of(window_rates(marks))
        return {
            "extraction": extraction.median,
            "extraction_spread": extraction.spread,
            "forward": alone.median,
            "forward_spread": alone.spread,
        }

    def _with_flow(self, model: ReidModel) -> tuple[LoadedDataset, FlowStacks]:
        """A part of the data small enough to have its flow computed here."""
        settings = model.settings
        if self.kept_flow is None:
            table = self.data.table
            training = table[table.subset == "train"]
            few = np.unique(training.pid)[: 2 * settings.identities]
            test = table[table.subset != "train"]
            test = test[test.frames.map(len).cumsum() <= self.scale.frames / 4]
            part = pd.concat([training[training.pid.isin(few)], test])
            data = replace(self.data, table=part)
            self.kept_flow = data, flow_store(data, settings)
        data, store = self.kept_flow
        return data, FlowStacks(store, model.baseline.flow_fields)


class FirstBatches(TrainingBatches):
    """The first `count` batches of a training and no more."""

    count = 0

    def __len__(self) -> int:
        return self.count


def agreement(scale: Scale, device: torch.device) -> Iterator[Row]:
    """Compare the losses and features of one batch on the device with those of the CPU in float32."""
    method = FIRST[0]
    settings = resolve(scale.recipe, method, [*scale.changes, "identities=2", "clips=2", "clip_frames=2"])
    batch = random_batch(settings)

    @torch.no_grad()
    def compute(precision: str, place: torch.device) -> dict[str, torch.Tensor]:
        model = model_of(method, change(settings, {"precision": precision}, "agreement"), place)
        with autocast(precision, place):
            features = model(batch.frames, flip=batch.flip, erase=batch.erase).frames
            losses = model(**batch._asdict(), mode="loss")
        return {name: value.double().cpu() for name, value in {"features": features, **losses}.items()}

    reference = compute("float32", CPU)
    for precision in possible(device):
        for name, value in compute(precision, device).items():
            difference = float((value - reference[name]).norm() / reference[name].norm())
            allowed = TOLERANCE[precision]
            yield {"what": name, "precision": precision, "difference": difference, "tolerance": allowed}


def evaluation(whole: pd.DataFrame, data: LoadedDataset, settings: Settings, device: torch.device) -> Row:
    """Seconds for the metrics of the whole data set from clustered features on the device, and of the bare product there."""
    queries, gallery = test_tracklets(replace(data, table=whole))
    channels = model_of(FIRST[0], settings).baseline.channels
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((whole.pid.max() + 1, channels), np.float32)
    query, shown = (
        torch.from_numpy(features(draw, rows.pid.to_numpy(), centres, NOISE)).to(device) for rows in (queries, gallery)
    )
    distances = FeatureDistances(query, shown, fixed_metric(settings.metric))

    def bare() -> None:
        if device.type == "cuda":
            torch.matmul(query, torch.cat([shown, query]).T)
        else:  # numpy multiplies on a processor
            product(query.numpy(), shown.numpy())

    return {
        "device": device.type,
        "queries": len(query),
        "gallery": len(shown),
        "channels": channels,
        "product": median_seconds(bare, device),
        "seconds": median_seconds(lambda: rank_tracklets(distances, queries, gallery, data.protocols), device),
    }


def on(device: torch.device, batch: Batch) -> Batch:
    """A batch with its pixels and labels on the device; which clips are mirrored and erased is read by the processor."""
    flow = batch.flow.to(device) if batch.flow is not None else None
    return batch._replace(frames=batch.frames.to(device), labels=batch.labels.to(device), flow=flow)


@contextmanager
def clock(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp in the block shortly before the time limit; end the process at the limit."""

    def ring(*_: Any) -> None:
        raise TimeIsUp

    last = threading.Timer(seconds, os._exit, [3])  # where something does not come back to Python
    last.daemon = True
    before = signal.signal(signal.SIGALRM, ring)
    try:
        last.start()
        signal.setitimer(signal.ITIMER_REAL, max(seconds - CLOSING_SECONDS, seconds / 2))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        last.cancel()


def main(words: list[str] | None = None) -> None:
    """The command."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.speed.gpu", description=__doc__.partition("\n")[0])
    options.add_argument("--to", type=Path, default=Path("results/measured/gpu.json"), help="the record, a JSON file")
    options.add_argument("--minutes", type=float, default=9.0, help="after which the command has ended")
    options.add_argument(
        "--tiny", action="store_true", help="small data and network, to try the command on any machine"
    )
    given = options.parse_args(words)
    if not given.tiny and not torch.cuda.is_available():
        options.error("no GPU is available; --tiny tries the command on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sheet, began = Sheet(given.to), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_CACHE"] = folder
        try:
            with clock(given.minutes * 60):
                measure(TINY if given.tiny else MARS, sheet, device, Path(folder))
        except TimeIsUp:
            print("the time is up; what was measured is in the record", file=sys.stderr)
        sheet.note(sheet.record, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()

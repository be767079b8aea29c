"""How time and memory grow with identities, tracklets, gallery and frames, from a hundredth of MARS to a hundred times MARS.

python -m benchmarks.speed.growth results/measured/growth.json results/figures/growth.svg

Each size is measured in a process of its own. Where a size would take too long here, a dashed line continues with the slope of
the last two sizes.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import simplejpeg
import torch

from benchmarks.atomic import write_atomically
from benchmarks.clips.sampling import epoch_batches
from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data.frame_stores import PACK, PackedStore, write_pack
from benchmarks.data.table import make_table
from benchmarks.engine.model import build_model
from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.evaluation.ranking import evaluate_features
from benchmarks.experiments.settings import resolve
from benchmarks.parsing import parse_json
from benchmarks.runs import environment

from .reference import features, random_batch, train_bare

RECORD, GPU_RECORD = Path("results/measured/growth.json"), Path("results/measured/gpu.json")
SIZES = (0.01, 0.1, 1, 10, 100)  # times MARS
QUERIES, CHANNELS, LENGTH = 512, 512, 20
MARS_LENGTH, JOB = 58, 8  # frames of a tracklet of MARS, on average; GPUs of a Slurm job


class Growth(NamedTuple):
    """A step whose cost grows with `of`: what it is, how many MARS has, and the largest size that is measured."""

    step: str
    of: str
    mars: int
    largest: float
    measure: Callable[[int], float]


class Point(NamedTuple):
    """The cost of a step at a size (times MARS): the seconds it takes and the MiB by which its process grows."""

    size: float
    seconds: float
    mebibytes: float


def rank_gallery(count: int) -> float:
    """Every protocol for 512 queries, features of 512 channels."""
    draw = np.random.default_rng(0)
    people = max(2, count // 15)
    centres = draw.standard_normal((people + 1, CHANNELS), np.float32)
    labels = [(draw.integers(1, people + 1, rows), draw.integers(0, 6, rows)) for rows in (QUERIES, count)]
    query, gallery = (features(draw, pids, centres, 1.8) for pids, _ in labels)
    with timed() as seconds:
        evaluate_features(query, gallery, *labels[0], *labels[1], PROTOCOLS)
    return seconds[0]


def open_pack(tracklets: int) -> float:
    """From a pack and its table to the first clip; tracklets of 20 frames."""
    settings = resolve("small", "mean", ["identities=2", "clips=2"])
    image = simplejpeg.encode_jpeg(np.zeros((settings.height, settings.width, 3), np.uint8))
    rows = [
        (
            "train",
            number // 4,
            number % 4,
            f"{number:07d}",
            [f"{number:07d}F{frame:02d}.jpg" for frame in range(LENGTH)],
        )
        for number in range(tracklets)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_pack(Path(folder) / PACK, ((frame, image) for row in rows for frame in row[-1]))
        table = make_table(rows)
        with timed() as seconds:
            TrainingBatches(table, PackedStore(Path(folder) / PACK), settings, 0)[0]
    return seconds[0]


def draw_epoch(identities: int) -> float:
    """The identities of all batches of an epoch."""
    with timed() as seconds:
        epoch_batches(np.arange(identities), 8, 0, 0)
    return seconds[0]


def train_step(identities: int) -> float:
    """One training step of `mean` by the recipe small, whose classifier has a row for each identity."""
    settings = resolve("small", "mean", ["threads=1"])
    torch.set_num_threads(1)
    model = build_model("mean", identities, settings, seed=0)[0].train()
    batch = random_batch(settings)
    train_bare(model, batch, 1)
    with timed() as seconds:
        train_bare(model, batch, 3)
    return seconds[0] / 3


GROWTHS = (
    Growth("ranking 512 queries in a gallery", "gallery tracklets", 9_330, 100, rank_gallery),
    Growth("from a packed data set to its first clip", "tracklets", 20_000, 1, open_pack),
    Growth("drawing the batches of an epoch", "training identities", 625, 100, draw_epoch),
    Growth("a training step, recipe small", "training identities", 625, 100, train_step),
)


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that holds, after the block, the seconds that it took."""
    seconds: list[float] = []
    began = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - began)


def measure(growth: Growth, size: float) -> Point:
    """A point of a line, in the median of three processes."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        points = [pool.apply(_in_process, (GROWTHS.index(growth), size)) for _ in range(3)]
    return Point(*(float(value) for value in np.median(points, axis=0)))


def _in_process(number: int, size: float) -> Point:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = GROWTHS[number].measure(max(16, round(size * GROWTHS[number].mars)))
    return Point(size, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def slope(points: list[Point]) -> float:
    """By which power of the size the seconds grow, from the last two points; 0: not at all, 1: in proportion."""
    (_, *before), (_, *last) = points[-2:]
    return float(np.log(last[0] / before[0]) / np.log(points[-1].size / points[-2].size))


def draw(lines: dict[str, list[Point]], file: Path) -> None:
    """Two panels with logarithmic scales: seconds and MiB against the size."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for growth in GROWTHS:
        points = lines[growth.step]
        sizes = [point.size for point in points]
        label = f"{growth.step} ({growth.mars:,} {growth.of})"
        (drawn,) = left.plot(sizes, [point.seconds for point in points], marker="o", markersize=3, label=label)
        right.plot(sizes, [max(point.mebibytes, 0.1) for point in points], marker="o", markersize=3)
        beyond = np.array([points[-1].size, SIZES[-1]])
        if beyond[0] < beyond[1]:
            left.plot(beyond, points[-1].seconds * (beyond / beyond[0]) ** slope(points), "--", color=drawn.get_color())
    for axes, what in ((left, "seconds"), (right, "MiB by which the process grows")):
        axes.set(xscale="log", yscale="log", xlabel="size, times MARS", ylabel=what)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    plt.rcParams["svg.hashsalt"] = "growth"
    figure.savefig(file, metadata={"Date": None})


def summary(file: Path = RECORD) -> str:
    """What the largest sizes took, in words, and by which power of the size the seconds grow."""
    record = parse_json(file.read_bytes(), file)
    lines = []
    for growth in GROWTHS:
        points = [Point(*point) for point in record["lines"][growth.step]]
        last = points[-1]
        lines.append(
            f"- {growth.step}, {round(last.size * growth.mars):,} {growth.of}: {last.seconds:.3g} s, "
            f"{max(last.mebibytes, 0):,.0f} MiB; seconds grow as size^{slope(points):.2f} at the end"
        )
    ranking = Point(*record["lines"][GROWTHS[0].step][-1])
    gallery = ranking.size * GROWTHS[0].mars
    hours = ranking.seconds * 1e5 / QUERIES * 1e6 / gallery / 3600
    lines.append(
        f"- so 100,000 queries in a gallery of a million, with {CHANNELS} channels, take {hours:.1f} h on this machine, block by "
        "block; in a Slurm job the first process ranks"
    )
    hours = 1e6 * MARS_LENGTH / _extracted_per_second() / 3600
    lines.append(
        f"- extracting a million tracklets of {MARS_LENGTH} frames, MARS's mean length, would take {hours:.1f} h on the "
        "[GPU](#on-a-gpu) that was measured, with `mean` in float32, if frames come as fast as from memory; the processes of a "
        f"Slurm job share the tracklets, so {JOB} such GPUs would take {hours / JOB:.1f} h, if none waits for another"
    )
    return "\n".join([*lines, f"\n{record['machine']['cpu']}, {record['machine']['cores']} cores."])


def _extracted_per_second() -> float:
    """The frames that the measurement on a GPU extracted in a second, with `mean` in float32."""
    methods = parse_json(GPU_RECORD.read_bytes(), GPU_RECORD)["methods"]
    return next(
        float(each["extraction"]) for each in methods if (each["method"], each["precision"]) == ("mean", "float32")
    )


def main(file: Path, figure: Path) -> None:
    """Measure every line, and write the figures and the picture."""
    lines = {}
    for growth in GROWTHS:
        lines[growth.step] = [measure(growth, size) for size in SIZES if size <= growth.largest]
        print(growth.step, *lines[growth.step], sep="\n  ", flush=True)
    record = {
        "machine": asdict(environment.describe()),
        "lines": {step: [*map(list, points)] for step, points in lines.items()},
    }
    write_atomically(file, json.dumps(record, indent=1))
    draw(lines, figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Loading batches of the paper's clips with one worker, compared with the decoder alone and with the usual pipeline."""

from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import torch
from PIL import Image
from torchvision import transforms

from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.clips.workers import prefetched
from benchmarks.data.loading import load
from benchmarks.experiments.settings import resolve

from .comparison import compare

ROUNDS = 5
BATCHES = 48  # that a worker prepares in a round; its start is included


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> TrainingBatches:
    settings = resolve("paper", "mean", ["weights=none"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = load(f"walkers:tiny-{settings.height}x{settings.width}")
    torch.set_num_threads(1)
    return TrainingBatches(data.table[data.table.subset == "train"], data.store, settings, seed=0)


def encoded(batches: TrainingBatches) -> list[tuple[str, bytes]]:
    """What the first batch reads: names and bytes of its frames."""
    read = batches.store.read
    names: list[str] = []

    def note(name: str) -> bytes | memoryview:
        names.append(name)
        return read(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches.store, "read", note)
        batches[0]
    return [(name, bytes(read(name))) for name in names]


def load_batches(batches: TrainingBatches) -> None:
    with prefetched(batches, 1, range(BATCHES)) as items:
        for _ in items:
            pass


def test_loading(benchmark: Any, batches: TrainingBatches) -> None:
    images = encoded(batches)

    def decode_alone() -> None:
        for _, image in images * BATCHES:
            simplejpeg.decode_jpeg(image)

    compare(
        benchmark,
        lambda: load_batches(batches),
        decode_alone,
        what="loading clips of 256x128, one worker process: read, decode, stack, pass on",
        limit="the decoder alone on the same bytes",
        target=0.92,
        better="at least",
        rounds=ROUNDS,
        count=BATCHES * len(images),
        note="finding, checking and passing on each frame's bytes, and the start of the worker",
    )


def test_the_usual_pipeline(benchmark: Any, batches: TrainingBatches, tmp_path: Path) -> None:
    settings, images = batches.settings, encoded(batches)
    for name, image in images:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(image)
    one = transforms.Compose(
        [
            transforms.Resize((settings.height, settings.width)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def usual_pipeline() -> None:
        for _ in range(BATCHES):
            torch.stack([one(Image.open(tmp_path / name).convert("RGB")) for name, _ in images])

    compare(
        benchmark,
        lambda: load_batches(batches),
        usual_pipeline,
        what="the same",
        limit="the usual pipeline: Pillow, and Resize, ToTensor, Normalize of each frame, stack",
        target=7,
        better="at least",
        rounds=2,
        count=BATCHES * len(images),
        note="the decoder: even alone it barely reaches this target (see the row above)",
    )

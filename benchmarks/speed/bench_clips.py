"""Loading a training batch beside the decoder alone on the same bytes."""

from collections.abc import Callable
from typing import Any

import pytest
import simplejpeg

from benchmarks.data.clips import TrainingBatches
from benchmarks.data.loading import Data, load
from benchmarks.settings import resolve

SIZE = ["height=64", "width=32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load("walkers:tiny")


@pytest.fixture(scope="module")
def batches(data: Data) -> TrainingBatches:
    training = data.table[data.table.subset == "train"]
    return TrainingBatches(training, data.store, resolve("small", "mean", SIZE), seed=0)


def test_decoder_alone(benchmark: Callable[..., Any], data: Data, batches: TrainingBatches) -> None:
    count = batches[0].frames.shape[0] * batches[0].frames.shape[1]
    names = [frame for frames in data.table.frames for frame in frames][:count]
    encoded = [bytes(data.store.read(name)) for name in names]
    benchmark(lambda: [simplejpeg.decode_jpeg(image) for image in encoded])


def test_loading_a_batch(benchmark: Callable[..., Any], batches: TrainingBatches) -> None:
    benchmark(lambda: batches[0])

"""Extracting a test set, including decoding, compared with the bare forward pass of the backbone on images in memory."""

from typing import Any

import pytest
import torch

from baselines.interface.baseline import Clips
from benchmarks.data.loading import load
from benchmarks.engine.extraction import extract
from benchmarks.experiments.settings import resolve

from .comparison import compare
from .reference import embed_bare, model_of

TRACKLETS, STEPS = 8, 8  # one full batch, as those of a large test set are


def test_extraction(benchmark: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    settings = resolve("paper", "mean", ["weights=none"])
    data = load(f"walkers:tiny-{settings.height}x{settings.width}")
    long = data.table[data.table.frames.map(len) >= STEPS].head(TRACKLETS)
    tracklets = long.assign(frames=[frames[:STEPS] for frames in long.frames])
    model = model_of("mean", settings).eval()
    clips = Clips(torch.rand(TRACKLETS, STEPS, settings.height, settings.width, 3).permute(0, 1, 4, 2, 3))
    compare(
        benchmark,
        lambda: extract(model, tracklets, data.store, settings),
        lambda: embed_bare(model, clips),
        what=f"extracting a test set, all frames, {settings.backbone} at {settings.height}x{settings.width}",
        limit="the backbone's bare forward",
        target=0.9,
        better="at least",
        rounds=3,
        count=TRACKLETS * STEPS,
    )

"""Computing and storing the flow of a data set, compared with decoding and the OpenCV call alone on the same cores."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

from benchmarks.clips.optical_flow import flow_store
from benchmarks.data.loading import load
from benchmarks.experiments.settings import resolve

from .comparison import compare

Tracklet = tuple[list[bytes], list[np.ndarray]]  # the frames as they lie on disk, and in grey


def bare(tracklet: Tracklet) -> None:
    images, grey = tracklet
    for image in images:
        simplejpeg.decode_jpeg(image)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for first, second in pairwise(grey):
        search.calc(first, second, None)


def test_flow(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    settings = resolve("paper", "flow", ["weights=none"])
    data = load(f"walkers:tiny-{settings.height}x{settings.width}")
    images = [[bytes(data.store.read(name)) for name in frames] for frames in data.table.frames]
    tracklets = [
        (each, [cv2.cvtColor(simplejpeg.decode_jpeg(image), cv2.COLOR_RGB2GRAY) for image in each]) for each in images
    ]

    def compute() -> None:
        shutil.rmtree(tmp_path / "flow", ignore_errors=True)
        flow_store(data, settings)

    def compute_bare() -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(bare, tracklets))

    compare(
        benchmark,
        compute,
        compute_bare,
        what="flow of 256x128, DIS medium, decoding and keeping included",
        limit="decoding and the OpenCV call alone",
        target=0.85,
        better="at least",
        rounds=5,
        count=sum(map(len, images)),
    )

"""Optical flow between neighbouring frames, as 8-bit pixels: computed once for a data set and kept in BENCH_CACHE.

A flow image is (2, H, W) uint8, u (to the right) over v (downwards); 128 is rest, and LIMIT image heights a frame are the
ends of the scale, so that a size of image changes nothing but the detail.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from benchmarks import launch
from benchmarks.data.frame_stores import PackedStore, Store, write_pack
from benchmarks.data.loading import Data
from benchmarks.experiments.settings import Settings
from benchmarks.paths import cache_dir

from . import raft
from .decode import decode_frames

Pixels = NDArray[np.uint8]
LIMIT = 20 / 256  # 20 pixels of a 256 pixels tall frame, the bound of Wang et al. (2016)
REST = 128
SMALL = 128  # pixels of height, below which the search goes on to the full resolution
QUALITY = 95  # of the JPEG in which a flow image is kept: a tenth of the raw bytes
SHARD = 4096  # frames a file: what an interruption costs


def between(frames: Pixels, settings: Settings) -> Pixels:
    """The flow from each frame to the next, the last one repeated: (T, H, W, 3) RGB to (T, 2, H, W)."""
    steps, height, width = frames.shape[:3]
    flow = np.full((steps, 2, height, width), REST, np.uint8)
    if steps > 1:
        pairs = raft.between_pairs(frames, settings.flow_weights) if settings.flow == "raft" else _search(frames)
        for place, pixels in zip(flow[:-1], pairs, strict=True):
            pixels *= 127 / (LIMIT * height)
            place[:] = np.clip(np.rint(pixels, out=pixels) + REST, 1, 255).transpose(2, 0, 1)
        flow[-1] = flow[-2]
    return flow


def between_in(clips: Pixels, settings: Settings) -> Pixels:
    """The same for each of several clips: (B, T, H, W, 3) to (B, T, 2, H, W)."""
    with _threads(settings) as pool:
        return np.stack(list(pool.map(partial(between, settings=settings), clips)))


def _threads(settings: Settings) -> ThreadPoolExecutor:
    """Decoding and the search release the interpreter's lock: a thread for each core that is this process's.

    A worker has one, beside the others, and torch has threads of its own.
    """
    alone = settings.flow == "raft" or get_worker_info() is not None
    return ThreadPoolExecutor(
        1 if alone else max(1, len(os.sched_getaffinity(0)) // launch.process_info().local_world_size)
    )


def _search(frames: Pixels) -> Iterator[NDArray[np.float32]]:
    """Dense inverse search (Kroeger et al., 2016) at its medium setting: T - 1 of (H, W, 2), in pixels."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(_finest_scale(frames.shape[1]))
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    return (search.calc(first, second, None) for first, second in pairwise(grey))


def _finest_scale(height: int) -> int:
    """The setting searches to half the picture's resolution (scale 1), in which a limb in a small picture is a pixel wide."""
    return 1 if height >= SMALL else 0


def to_pixels(flow: Tensor) -> Tensor:
    """(..., 2, H, W) uint8 to float, in pixels a frame."""
    return (flow.float() - REST) * (LIMIT * flow.shape[-2] / 127)


def read_flow(store: Store, names: Sequence[str], settings: Settings) -> Tensor:
    """The kept flow that begins at each named frame, (N, 2, H, W) uint8."""
    flow = np.empty((len(names), 2, settings.height, settings.width), np.uint8)
    for place, name in zip(flow, names, strict=True):
        simplejpeg.decode_jpeg(store.read(name), "GRAY", buffer=place)
    return torch.from_numpy(flow)


def flow_store(data: Data, settings: Settings, progress: Callable[[int, int], None] = lambda *_: None) -> Store:
    """The flow of all frames of a data set at the size of `settings`, by the names of the frames.

    What the cache lacks is computed now, on all cores; interrupted, it goes on from the last whole file.
    """
    height, width = settings.height, settings.width
    learned = settings.flow == "raft"
    kind = f"raft-{raft.flow_digest(settings)[:12]}" if learned else f"dis{_finest_scale(height)}"
    folder = cache_dir() / "flow" / f"{data.name.replace(':', '.')}-{data.digest[:12]}-{height}x{width}-{kind}"
    shards = list(_shards(data))
    files = [folder / f"{number:05d}.arrow" for number in range(len(shards))]
    total, done = sum(sum(map(len, shard)) for shard in shards), 0

    def flow(frames: Sequence[str]) -> list[tuple[str, bytes]]:
        images = decode_frames(data.store, frames, height, width)
        return [
            (name, simplejpeg.encode_jpeg(image.reshape(-1, width, 1), QUALITY, "GRAY"))
            for name, image in zip(frames, between(images, settings), strict=True)
        ]

    with _threads(settings) as pool:
        for file, shard in zip(files, shards, strict=True):
            if not file.exists():
                write_pack(file, (pair for pairs in pool.map(flow, shard) for pair in pairs))
            done += sum(map(len, shard))
            progress(done, total)
    return PackedStore(*files)


def _shards(data: Data) -> Iterator[list[Sequence[str]]]:
    """All tracklets, each once, in groups of about SHARD frames."""
    shard: list[Sequence[str]] = []
    for frames in {frames[0]: frames for frames in data.table.frames}.values():
        shard.append(frames)
        if sum(map(len, shard)) >= SHARD:
            yield shard
            shard = []
    if shard:
        yield shard

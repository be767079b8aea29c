"""Optical flow between neighbouring frames, as 8-bit images: computed once for a data set and stored in BENCH_CACHE.

A flow image is (2, H, W) uint8: u (to the right) and v (downwards). 128 is no motion, and the range ends at LIMIT image heights
per frame, so that the scale does not depend on the image size.
"""

import os
from collections.abc import Iterator, Sequence
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
from benchmarks.data import Progress, no_progress
from benchmarks.data.frame_stores import PackedStore, Store, write_pack
from benchmarks.data.loading import LoadedDataset
from benchmarks.experiments.settings import Settings
from benchmarks.paths import cache_dir

from . import raft
from .decode import decode_frames

Pixels = NDArray[np.uint8]
LIMIT = 20 / 256  # 20 pixels of a 256 pixels tall frame, the bound of Wang et al. (2016)
NO_MOTION = 128
SMALL = 128  # image height in pixels; below it the search continues to the full resolution
QUALITY = 95  # of the JPEG that stores a flow image: a tenth of the raw bytes
FRAMES_PER_FILE = 4096  # what an interruption loses at most


def compute_flow(frames: Pixels, settings: Settings) -> Pixels:
    """The flow from each frame to the next, with the last one repeated: (T, H, W, 3) RGB to (T, 2, H, W) uint8."""
    steps, height, width = frames.shape[:3]
    flow = np.full((steps, 2, height, width), NO_MOTION, np.uint8)
    if steps > 1:
        pairs = raft.raft_flow(frames, settings.flow_weights) if settings.flow == "raft" else _dis_flow(frames)
        for image, pixels in zip(flow[:-1], pairs, strict=True):
            pixels *= 127 / (LIMIT * height)
            image[:] = np.clip(np.rint(pixels, out=pixels) + NO_MOTION, 1, 255).transpose(2, 0, 1)
        flow[-1] = flow[-2]
    return flow


def compute_clip_flow(clips: Pixels, settings: Settings) -> Pixels:
    """`compute_flow` of each clip: (B, T, H, W, 3) to (B, T, 2, H, W)."""
    with _threads(settings) as pool:
        return np.stack(list(pool.map(partial(compute_flow, settings=settings), clips)))


def _threads(settings: Settings) -> ThreadPoolExecutor:
    """One thread for each core of this process: decoding and the search release Python's global lock.

    A single thread in a worker, which runs beside others, and for RAFT, because torch has its own threads.
    """
    alone = settings.flow == "raft" or get_worker_info() is not None
    return ThreadPoolExecutor(
        1 if alone else max(1, len(os.sched_getaffinity(0)) // launch.process_info().local_world_size)
    )


def _dis_flow(frames: Pixels) -> Iterator[NDArray[np.float32]]:
    """Dense inverse search (Kroeger et al., 2016) with the medium preset: T - 1 of (H, W, 2), in pixels."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(_finest_scale(frames.shape[1]))
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    return (search.calc(first, second, None) for first, second in pairwise(grey))


def _finest_scale(height: int) -> int:
    """The preset stops at half the resolution (scale 1), where a limb in a small image is one pixel wide."""
    return 1 if height >= SMALL else 0


def to_pixels(flow: Tensor) -> Tensor:
    """(..., 2, H, W) uint8 to float, in pixels per frame."""
    return (flow.float() - NO_MOTION) * (LIMIT * flow.shape[-2] / 127)


def read_flow(store: Store, names: Sequence[str], settings: Settings) -> Tensor:
    """The stored flow from each named frame to the next, (N, 2, H, W) uint8."""
    flow = np.empty((len(names), 2, settings.height, settings.width), np.uint8)
    for image, name in zip(flow, names, strict=True):
        simplejpeg.decode_jpeg(store.read(name), "GRAY", buffer=image)
    return torch.from_numpy(flow)


def flow_store(data: LoadedDataset, settings: Settings, progress: Progress = no_progress) -> Store:
    """The flow of all frames of a data set at the size of `settings`, by the names of the frames.

    What the cache lacks is computed now, on all cores. If interrupted, it continues after the last complete file.
    """
    height, width = settings.height, settings.width
    is_raft = settings.flow == "raft"
    kind = f"raft-{raft.flow_digest(settings)[:12]}" if is_raft else f"dis{_finest_scale(height)}"
    folder = cache_dir() / "flow" / f"{data.name.replace(':', '.')}-{data.digest[:12]}-{height}x{width}-{kind}"
    shards = list(_shards(data))
    files = [folder / f"{number:05d}.arrow" for number in range(len(shards))]
    total, done = sum(sum(map(len, shard)) for shard in shards), 0

    def flow(frames: Sequence[str]) -> list[tuple[str, bytes]]:
        images = decode_frames(data.store, frames, height, width)
        return [
            (name, simplejpeg.encode_jpeg(image.reshape(-1, width, 1), QUALITY, "GRAY"))
            for name, image in zip(frames, compute_flow(images, settings), strict=True)
        ]

    with _threads(settings) as pool:
        for file, shard in zip(files, shards, strict=True):
            if not file.exists():
                write_pack(file, (pair for pairs in pool.map(flow, shard) for pair in pairs))
            done += sum(map(len, shard))
            progress(done, total)
    return PackedStore(*files)


def _shards(data: LoadedDataset) -> Iterator[list[Sequence[str]]]:
    """The frames of all tracklets, each once, in groups of about FRAMES_PER_FILE."""
    shard: list[Sequence[str]] = []
    for frames in {frames[0]: frames for frames in data.table.frames}.values():
        shard.append(frames)
        if sum(map(len, shard)) >= FRAMES_PER_FILE:
            yield shard
            shard = []
    if shard:
        yield shard

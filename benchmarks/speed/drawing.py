"""A part of a drawn data set, drawn by many processes until a time limit."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import pandas as pd

from benchmarks.data.drawn import DrawnDataset
from benchmarks.data.find import find_dataset
from benchmarks.data.frame_stores import PackedStore, write_pack
from benchmarks.data.loading import LoadedDataset


def drawn_dataset(name: str) -> DrawnDataset:
    """The drawn data set of that name."""
    dataset = find_dataset(name)
    assert isinstance(dataset, DrawnDataset)
    return dataset


def draw_within(seconds: float, name: str, folder: Path, processes: int) -> LoadedDataset:
    """Draw as many whole tracklets of the data set `name` as the time allows: a random sample, at least one per process.

    They are written to `folder`, one file per process. The table lists only the drawn tracklets.
    """
    until = time.monotonic() + seconds
    dataset = drawn_dataset(name)
    table = dataset.tracklets()
    shuffled = table.sample(frac=1, random_state=0)
    files = [folder / f"{number}.arrow" for number in range(processes)]
    # Not forked from this one, where pyarrow may have threads already: a child that waits for one waits for ever.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("forkserver")) as pool:
        shares = [
            pool.submit(_draw, dataset, shuffled.iloc[number::processes], file, until)
            for number, file in enumerate(files)
        ]
        drawn = {tracklet for share in shares for tracklet in share.result()}
    part = table[table.tracklet.isin(drawn)].reset_index(drop=True)
    return LoadedDataset(name, 0, part, PackedStore(*files), "drawn in part", dataset, folder)


def _draw(dataset: DrawnDataset, rows: pd.DataFrame, file: Path, until: float) -> list[str]:
    """Draw tracklets into `file`, one after the other; returns the names of those that were drawn in time."""
    cv2.setNumThreads(1)
    drawn: list[str] = []

    def frames() -> Iterator[tuple[str, bytes]]:
        for row in rows.itertuples(index=False):
            if drawn and time.monotonic() > until:
                return
            yield from dataset.named_frames(row)
            drawn.append(row.tracklet)

    write_pack(file, frames())
    return drawn

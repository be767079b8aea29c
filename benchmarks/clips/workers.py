"""Items of a data set, decoded ahead by processes of their own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


@contextmanager
def ahead(dataset: Dataset, workers: int, indices: range | None = None) -> Iterator[Iterator[Any]]:
    """Items of `dataset` in order, decoded ahead by `workers` processes (0: in this one), which end with the block."""
    items = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=indices,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            worker_init_fn=_outlive_signals,
        )
    )
    try:
        yield items
    finally:
        # Not left to the collector: whoever keeps an exception keeps the workers, which Python would end by a SIGTERM at its
        # exit, and wait for.
        if workers:
            items._shutdown_workers()  # type: ignore[attr-defined]


def _outlive_signals(_: int) -> None:
    """A scheduler's signals reach all processes of a job: a worker goes on for as long as the process that it works for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

"""Worker processes that prepare the items of a torch data set in advance."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset


@contextmanager
def prefetched(dataset: TorchDataset, workers: int, indices: range | None = None) -> Iterator[Iterator[Any]]:
    """The items of `dataset` in order, prepared in advance by `workers` processes (0: by this one), which end with the block."""
    items = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=indices,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            worker_init_fn=_ignore_signals,
        )
    )
    try:
        yield items
    finally:
        # Not left to garbage collection: an exception that is kept alive would keep the workers alive until Python exits, which
        # would then send them a SIGTERM and wait.
        if workers:
            items._shutdown_workers()  # type: ignore[attr-defined]


def _ignore_signals(_: int) -> None:
    """A scheduler's signals reach all processes of a job. A worker continues as long as the process that it works for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

"""Worker processes that prepare the items of a torch data set in advance."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

DYING_SECONDS = 1.0  # between the loss of the connection to a killed process and its end


@contextmanager
def prefetched(dataset: TorchDataset, workers: int, indices: range | None = None) -> Iterator[Iterator[Any]]:
    """The items of `dataset` in order, prepared in advance by `workers` processes (0: by this one), which end with the block.

    If a worker is killed, this process prepares the remaining items, and says so on stderr.
    """
    order = range(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
    items = _load(dataset, workers, order)
    try:
        yield _with_substitute(items, dataset, order) if workers else items
    finally:
        # Not left to garbage collection: an exception that is kept alive would keep the workers alive until Python exits, which
        # would then send them a SIGTERM and wait.
        if workers:
            items._shutdown_workers()


def _load(dataset: TorchDataset, workers: int, order: range) -> Any:
    on_death = signal.getsignal(signal.SIGCHLD)
    items = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=4 if workers else None,
            worker_init_fn=_ignore_signals,
        )
    )
    if workers and threading.current_thread() is threading.main_thread():
        # torch's handler would raise the error of a killed worker anywhere, also in the middle of a training step. Without it
        # the error is raised where the next item is awaited.
        signal.signal(signal.SIGCHLD, on_death)
    return items


def _with_substitute(items: Any, dataset: TorchDataset, order: range) -> Iterator[Any]:
    """The items of workers, and if one of them was killed, those that are left from this process."""
    left = len(order)
    while left:
        try:
            yield next(items)
        except (RuntimeError, OSError, EOFError):
            if not wait([worker.sentinel for worker in items._workers], DYING_SECONDS):
                raise
            break
        left -= 1
    if not left:
        return
    print("bench: a process that reads frames was killed; this one reads the rest (see --workers)", file=sys.stderr)
    for worker in items._workers:
        worker.kill()  # one that waits for what the dead one held would never end
    yield from _load(dataset, 0, order[-left:])


def _ignore_signals(_: int) -> None:
    """A scheduler's signals reach all processes of a job. A worker continues as long as the process that it works for."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

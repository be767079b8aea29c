"""Worker processes that prepare the items of a torch data set in advance."""

import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data._utils import signal_handling

PREPARED = 4  # items that each worker prepares in advance
DYING_SECONDS = 1.0  # between the loss of the connection to a killed process and its end


@contextmanager
def prefetched(dataset: TorchDataset, workers: int, indices: range | None = None) -> Iterator[Iterator[Any]]:
    """The items of `dataset` in order, prepared in advance by `workers` processes (0: by this one), which end with the block.

    An item is valid until the next one is requested: a worker then writes into its `batch_memory` again. If a worker is killed,
    this process prepares the remaining items, and says so on stderr.
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


# The memory of a worker's items in turn: those that it has prepared, the one that is in use, and no other.
_slots: deque[Tensor] = deque(torch.empty(0, dtype=torch.uint8) for _ in range(PREPARED + 1))


def batch_memory(size: int) -> Tensor:
    """`size` bytes, uint8, for the frames of one item; call it once an item.

    In a worker it is shared memory that the worker uses in turn. The kernel clears its pages once, not for each item, and torch
    passes it on without a copy.
    """
    if get_worker_info() is None:
        return torch.empty(size, dtype=torch.uint8)
    slot = _slots.popleft()
    if len(slot) < size:
        slot = torch.empty(size, dtype=torch.uint8).share_memory_()
    _slots.append(slot)
    return slot[:size]


def _load(dataset: TorchDataset, workers: int, order: range) -> Any:
    # torch's handler would raise the error of a killed worker anywhere, also in the middle of a training step. Without it the
    # error is raised where the next item is awaited. torch sets it unless this says that it has.
    signal_handling._SIGCHLD_handler_set = True
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=PREPARED if workers else None,
            worker_init_fn=_ignore_signals,
        )
    )


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

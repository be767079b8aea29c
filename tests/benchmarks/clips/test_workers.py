"""Items from worker processes: what they hold while the worker is as far ahead as it can be."""

import multiprocessing
import os
import signal

import pytest
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from benchmarks.clips import workers
from benchmarks.clips.workers import PREPARED, batch_memory, prefetched

COUNT = 3 * (PREPARED + 1) + 1


class Numbered(Dataset):
    """Item i is memory of varying size that holds i; `prepared` counts the items of all processes."""

    def __init__(self):
        self.prepared = multiprocessing.Value("i", 0)

    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        memory = batch_memory(1000 + 500 * (i % 3)).fill_(i)
        with self.prepared.get_lock():
            self.prepared.value += 1
        return memory


@pytest.mark.parametrize("count", [1, 2])
def test_an_item_stays_until_the_next_is_requested(count):
    dataset = Numbered()
    with prefetched(dataset, count) as items:
        for i, item in enumerate(items):
            while dataset.prepared.value < min(i + 1 + count * PREPARED, COUNT):
                pass  # until no worker can go on
            assert len(item) == 1000 + 500 * (i % 3)
            assert item.unique().tolist() == [i]
    assert i == COUNT - 1


class OneDies(DataLoader):
    """The first worker is killed before its start is over."""

    def __iter__(self):
        items = super().__iter__()
        if self.num_workers:
            os.kill(items._workers[0].pid, signal.SIGKILL)
            os.waitid(os.P_PID, items._workers[0].pid, os.WEXITED | os.WNOWAIT)
        return items


@pytest.mark.usefixtures("capsys")
def test_worker_that_is_killed_as_it_starts_loses_no_item(monkeypatch):
    monkeypatch.setattr(workers, "DataLoader", OneDies)
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # as in a process that has loaded nothing yet
    before = signal.getsignal(signal.SIGCHLD)
    with prefetched(Numbered(), 2) as items:
        assert signal.getsignal(signal.SIGCHLD) is before
        assert [int(item[0]) for item in items] == list(range(COUNT))

"""Items from worker processes: what they hold while the worker is as far ahead as it can be."""

import multiprocessing

import pytest
from torch.utils.data import Dataset

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


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_stays_until_the_next_is_requested(workers):
    dataset = Numbered()
    with prefetched(dataset, workers) as items:
        for i, item in enumerate(items):
            while dataset.prepared.value < min(i + 1 + workers * PREPARED, COUNT):
                pass  # until no worker can go on
            assert len(item) == 1000 + 500 * (i % 3)
            assert item.unique().tolist() == [i]
    assert i == COUNT - 1

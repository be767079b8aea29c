"""How many seeds a selection has if the user gives no number."""

import pytest

from benchmarks.scheduling.selection import select


@pytest.mark.parametrize(
    ("suite", "dataset", "seeds"),
    [
        ("table4", "walkers", 32),
        ("table4", "ilidsvid", 4),  # of 10 splits: 40 runs of each row, and 3 seeds would be 30
        ("table2", "walkers", 3),
        ("table2", "ilidsvid", 1),
        ("matrix", "walkers", 10),
        ("matrix", "ilidsvid", 1),
    ],
)
def test_splits_count_as_repetitions(suite, dataset, seeds):
    selection = select(suite, datasets=[dataset])
    assert selection.choice.seeds == seeds
    assert {each.experiment.seed for each in selection.experiments()} == set(range(seeds))


def test_users_number_counts():
    assert select("table4", datasets=["ilidsvid"], seeds=2).choice.seeds == 2
    assert select(None, method="mean", datasets=["walkers"]).choice.seeds == 10

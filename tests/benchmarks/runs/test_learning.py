"""A run that learns nothing says so."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.evaluation.ranking import evaluate
from benchmarks.runs.learning import chance_of_rank1, learned_nothing


def test_chance_is_what_random_distances_give():
    draw = np.random.default_rng(0)
    query = pd.DataFrame({"pid": [1, 1, 2, 9], "camid": [1, 2, 1, 1]})  # 9 has no match
    gallery = pd.DataFrame({"pid": [1, 1, 1, 2, 3, 3, 0], "camid": [1, 2, 2, 2, 1, 2, 1]})
    chance, queries = chance_of_rank1(query, gallery)
    assert queries == 3
    assert chance == pytest.approx((2 / 6 + 1 / 5 + 1 / 7) / 3)
    tables = (query.pid.to_numpy(), query.camid.to_numpy(), gallery.pid.to_numpy(), gallery.camid.to_numpy())
    found = [evaluate(draw.random((4, 7)), *tables).cmc[0] for _ in range(3000)]
    assert np.mean(found) == pytest.approx(chance, abs=0.02)


@pytest.mark.parametrize(
    ("losses", "rank1", "queries", "says"),
    [
        ([3.0, 2.0, 1.0], 0.6, 100, None),
        ([3.0, 3.2, 2.995], 0.6, 100, "the loss was 3 in the first epoch and 2.995 in the last; R1 is 60.0"),
        ([3.0, 2.0], 0.11, 100, "learned nothing: R1 is 11.0, and 10.0 by chance"),
        ([3.0, 2.0], 0.20, 100, None),  # more than two standard errors above chance
        ([3.0, 2.0], 0.10, 5, None),  # too few queries
        ([3.0], 0.6, 100, None),  # one epoch has nothing to be compared with
        ([], 0.1, 100, None),  # not trained
        ([-1.0, -2.0], None, 0, None),
    ],
)
def test_line(losses, rank1, queries, says):
    line = learned_nothing(losses, rank1, 0.1, queries)
    assert line is None if says is None else says in line


def test_a_run_says_so_at_its_end(bench):
    words = ("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", 2)
    answer = bench(*words, "--set", "lr=0", "--set", "flip=0")
    assert answer.status == 0
    assert ": learned nothing: the loss was " in answer.err.splitlines()[-1]
    assert "learned nothing" not in bench(*words).err

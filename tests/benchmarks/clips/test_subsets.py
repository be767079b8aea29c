"""Which tracklets are trained on, held out and tested."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.clips import subsets
from benchmarks.data.table import make_table
from benchmarks.experiments.settings import resolve


@pytest.fixture
def data():
    """Nine people to train on, with two tracklets each; of the test people two queries, and a gallery with junk."""
    rows = [("train", pid, camid, f"t{pid}{camid}", ["a.png"]) for pid in range(9) for camid in range(2)]
    rows += [("query", 20 + pid, 0, f"q{pid}", ["a.png"]) for pid in range(2)]
    rows += [("gallery", pid, 1, f"g{pid}", ["a.png"]) for pid in (-1, 0, 20, 21)]
    return SimpleNamespace(table=make_table(rows), name="somewhere", split=0)


@pytest.mark.parametrize(("share", "held"), [("0.34", 3), ("0.25", 2), ("0.01", 1)])
def test_people_are_held_out_whole(data, share, held):
    training, validation = subsets.hold_out(data, resolve("small", "mean", [f"holdout={share}"]))
    assert validation.pid.nunique() == held
    assert sorted([*training.tracklet, *validation.tracklet]) == sorted(f"t{a}{b}" for a in range(9) for b in range(2))
    assert not set(training.pid) & set(validation.pid)


def test_people_are_drawn_by_name_and_split_alone(data):
    """By the first eight bytes of a sha256: later versions hold out the same people."""
    _, validation = subsets.hold_out(data, resolve("small", "mean", ["holdout=0.34"]))
    digest = hashlib.sha256("\x1f".join(("holdout", "somewhere", "0")).encode()).digest()
    draw = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "big") // 2))
    assert sorted(set(validation.pid)) == sorted(draw.permutation(9)[:3])


def test_nobody_is_held_out_by_default(data):
    training, validation = subsets.hold_out(data, resolve("small", "mean"))
    assert len(training) == 18
    assert set(training.subset) == {"train"}
    assert validation is None


def test_junk_is_not_tested(data):
    queries, gallery = subsets.test_tracklets(data)
    assert list(queries.tracklet) == ["q0", "q1"]
    assert list(gallery.tracklet) == ["g0", "g20", "g21"]

"""The controls: what they must reach, and that a failed one is loud."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.data import JUNK
from benchmarks.data.datasets.walkers import Walkers
from benchmarks.runs import exchange
from benchmarks.suites import controls
from benchmarks.suites.controls import APPEARANCE, CHANCE, DATASET, judge, standing


def record(method: str, r1: float, shuffle: str = "none", dataset: str = DATASET, **settings: object) -> dict:
    experiment = {
        "method": method, "dataset": dataset, "test": dataset, "settings": {"shuffle": shuffle, **settings},
        "seed": 0, "split": 0, "data": "", "test_data": "", "weights": "", "recipe": "control",
    }  # fmt: skip
    metrics = [
        {"protocol": "official", "feature": feature, "R1": value / 100}
        for feature, value in (("after", 0), ("before", r1))
    ]
    return {"experiment": experiment, "metrics": metrics}


GOOD = [
    record("mean", 0.0),
    record("mean", 0.5, "both"),
    record("cnn3d", 61.7),
    record("cnn3d", 0.0, "both"),
    record("mean", 90.0, dataset=APPEARANCE),
    record("cnn3d", 81.0, dataset=APPEARANCE),
]


def test_controls_that_were_not_run_are_said_to_be_missing():
    assert "not run" in standing([record("mean", 80.0, dataset="walkers")], ["cnn3d"])
    assert standing(GOOD, ["cnn3d"]) == ""
    assert (
        "not run: lstm on walkers-gait, lstm with shuffled frames on walkers-gait, lstm on walkers-appearance ("
        in standing(GOOD, ["cnn3d", "lstm"])
    )
    assert "cnn3d reaches R1 3.0" in standing([*GOOD[:2], record("cnn3d", 3.0), *GOOD[3:]], ["cnn3d"])
    assert "not run: cnn3d on walkers-appearance (" in standing(GOOD[:5], ["cnn3d"])
    assert standing([*GOOD, record("lstm", 3.0)], ["cnn3d"]) == ""  # another's failure is no matter here


def test_chance_is_that_of_drawing_lots():
    table = Walkers.from_name(DATASET).tracklets()
    queries = table[table.subset == "query"]
    gallery = pd.concat([table[(table.subset == "gallery") & (table.pid != JUNK)], queries])
    draw, hits = np.random.default_rng(0), []
    for pid, camid in zip(queries.pid, queries.camid, strict=True):
        counted = gallery.pid[~((gallery.pid == pid) & (gallery.camid == camid))].to_numpy()
        hits.append(100 * np.mean(draw.choice(counted, 5000) == pid))
    assert np.mean(hits) == pytest.approx(CHANCE, abs=0.05)


def test_controls_that_hold_are_not_spoken_of():
    assert judge(GOOD) == []
    assert judge([*GOOD, record("lstm", 20.0), record("mean", 80.0, dataset="walkers"), record("max", 9.0)]) == []
    assert judge([*GOOD, record("gru", 80.0, dataset=APPEARANCE), record("flow-only", 2.7, dataset=APPEARANCE)]) == []


def test_a_run_with_something_changed_is_no_control():
    changed = [
        record("cnn3d", 3.0, epochs=12),
        record("cnn3d", 3.0, "test"),
        {**record("cnn3d", 3.0), "experiment": {**record("cnn3d", 3.0)["experiment"], "recipe": "small"}},
    ]
    for each in changed:
        assert judge([*GOOD, each]) == []
        assert "not run: cnn3d on walkers-gait (" in standing([*GOOD[:2], *GOOD[3:], each], ["cnn3d"])


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ([record("mean", 4.2), *GOOD[1:]], "mean reaches R1 4.2"),
        ([*GOOD[:2], record("cnn3d", 49.9), GOOD[3]], "cnn3d reaches R1 49.9"),
        ([*GOOD[:3], record("cnn3d", 4.2, "both")], "cnn3d with shuffled frames reaches R1 4.2"),
        ([*GOOD, record("flow", 19.9)], "flow reaches R1 19.9 on walkers-gait, below 20.0: mean's 0.0 +20"),
        ([record("lstm", 50.0)], "lstm cannot be judged"),
        ([*GOOD, record("gru", 4.0)], "gru reaches R1 4.0"),
        ([*GOOD, record("flow-only", 0.0)], "flow-only reaches R1 0.0"),
        (
            [*GOOD, record("gru", 79.9, dataset=APPEARANCE)],
            "gru reaches R1 79.9 on walkers-appearance, below 80.0: mean's 90.0 -10",
        ),
        ([record("cnn3d", 99.0, dataset=APPEARANCE)], "cnn3d cannot be judged: mean was not run on walkers-appearance"),
    ],
)
def test_each_control_that_fails_is_named(instead, said):
    (line,) = judge(instead)
    assert line.startswith(said)


def test_seeds_are_judged_by_their_mean():
    assert judge([record("cnn3d", 40.0), record("cnn3d", 60.0)]) == []
    assert len(judge([record("cnn3d", 40.0), record("cnn3d", 59.0)])) == 1


def test_doctor_says_a_failed_control_loudly_runs_it_once_and_without_controls_runs_nothing(
    bench, results, monkeypatch
):
    name = "walkers-gait:tiny"
    monkeypatch.setattr(controls, "DATASET", name)
    monkeypatch.setattr(controls, "is_control", lambda record: True)  # of no epochs
    monkeypatch.setattr(controls, "QUICK", (("mean", ("epochs=0",)), ("cnn3d", ("epochs=0", "lr=2e-3"))))
    assert bench("doctor").status == 0
    assert not results.exists()
    answer = bench("doctor", "--controls")
    assert answer.status == 1
    assert "CONTROL FAILED: cnn3d reaches R1" in answer.out
    times = {file: file.stat().st_mtime_ns for file in results.glob("*/record.json")}
    assert len(times) == 2
    again = bench("doctor", "--controls")
    assert again.out.partition(name)[2] == answer.out.partition(name)[2]
    assert {file: file.stat().st_mtime_ns for file in times} == times
    monkeypatch.setattr(controls, "judge", lambda found: [])
    assert bench("doctor", "--controls").status == 0


def test_the_committed_controls_hold():
    assert judge(exchange.exported(Path(__file__).parents[3] / "results" / "measured" / "controls.parquet")) == []

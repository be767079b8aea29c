"""The controls: what they must reach, and that a failed one is loud."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.data import JUNK
from benchmarks.data.datasets.walkers import Walkers
from benchmarks.experiments.settings import resolve
from benchmarks.runs.exchange import exported_records
from benchmarks.runs.record import Metrics
from benchmarks.suites import controls
from benchmarks.suites.controls import APPEARANCE, CHANCE, DATASET, judge, problems


@pytest.fixture
def record(make_record):
    """The record of a control: its method, R1 in percent, shuffling and data set."""

    def make(method, r1, shuffle="none", dataset=DATASET, **options):
        rows = [
            Metrics("official", feature, 0.5, value / 100, 1.0, 1.0, 1.0, 9, 0)
            for feature, value in (("after", 0), ("before", r1))
        ]
        recipe = options.pop("recipe", "control")
        changes = [f"{key}={value}" for key, value in {"shuffle": shuffle, **options}.items()]
        settings = resolve(recipe, method, changes).as_dict()
        return make_record(method, dataset, metrics=rows, recipe=recipe, **settings)

    return make


@pytest.fixture
def good(record):
    """Controls that all hold."""
    return [
        record("mean", 0.0),
        record("mean", 0.5, "both"),
        record("cnn3d", 61.7),
        record("cnn3d", 0.0, "both"),
        record("mean", 90.0, dataset=APPEARANCE),
        record("cnn3d", 81.0, dataset=APPEARANCE),
    ]


@pytest.fixture
def by(record):
    """The settings of runs by the controls' recipe, changed."""
    return lambda method, **changes: record(method, 0.0, **changes).experiment.settings


def test_missing_controls_are_named(record, good, by):
    asked = {"cnn3d": by("cnn3d")}
    assert "not run" in problems([record("mean", 80.0, dataset="walkers")], asked)
    assert problems(good, asked) == ""
    assert (
        "not run with the same settings: lstm-changes on walkers-gait, lstm-changes with shuffled frames on walkers-gait, "
        "lstm-changes on walkers-appearance (" in problems(good, asked | {"lstm-changes": by("lstm-changes")})
    )
    assert "cnn3d reaches R1 3.0" in problems([*good[:2], record("cnn3d", 3.0), *good[3:]], asked)
    assert "cnn3d on walkers-appearance (" in problems(good[:5], asked)
    assert problems([*good, record("lstm-changes", 3.0)], asked) == ""  # the failure of another baseline does not count


def test_control_speaks_for_its_own_settings_alone(record, good, by):
    gait = "not run with the same settings: cnn3d on walkers-gait"
    for changes in ({"sampling": "restricted"}, {"epochs": 12}, {"lr": 3e-3}, {"test_chunk": 9}, {"tuning_trials": 20}):
        assert gait in problems(good, {"cnn3d": by("cnn3d", **changes)})
    for changes in ({"threads": 1}, {"shuffle": "both"}):
        assert problems(good, {"cnn3d": by("cnn3d", **changes)}) == ""
    assert problems(good, {"cnn3d": by("cnn3d+afa")}) == ""  # what AFA adds is not the control's


def test_tuned_mean_is_no_measure_for_what_is_not_tuned(record, good, by):
    tuned = [
        record("mean", r1, dataset=dataset, tuning_trials=20) for r1, dataset in ((0.0, DATASET), (99.0, APPEARANCE))
    ]
    assert problems([*good, *tuned], {"cnn3d": by("cnn3d")}) == ""  # 81 is above 90 - 10, but not above 99 - 10


def test_judged_mean_needs_its_own_control(record, good, by):
    other = {"sampling": "restricted", "lr": 3e-3}
    assert problems(good, {"cnn3d": by("cnn3d")}) == ""
    assert "not run with the same settings: mean on" in problems(
        good, {"cnn3d": by("cnn3d"), "mean": by("mean", **other)}
    )
    larger = {"height": 64, "width": 32}  # to be judged beside one of another size says nothing
    run = [record("cnn3d", 61.7, **larger), record("cnn3d", 0.0, "both", **larger)]
    run.append(record("cnn3d", 81.0, dataset=APPEARANCE, **larger))
    assert "mean on walkers-gait" in problems([*good, *run], {"cnn3d": by("cnn3d", **larger)})


def test_controls_by_a_recipe_of_ones_own(record, by):
    options = {"recipe": "small", "epochs": 30, "sampling": "consecutive"}
    run = [record("cnn3d", 3.0, **options), record("mean", 0.5, **options)]
    assert "cnn3d reaches R1 3.0" in problems(run, {"cnn3d": by("cnn3d", **options)})


def test_chance_is_a_random_ranking():
    table = Walkers.from_name(DATASET).tracklets()
    queries = table[table.subset == "query"]
    gallery = pd.concat([table[(table.subset == "gallery") & (table.pid != JUNK)], queries])
    draw, hits = np.random.default_rng(0), []
    for pid, camid in zip(queries.pid, queries.camid, strict=True):
        counted = gallery.pid[~((gallery.pid == pid) & (gallery.camid == camid))].to_numpy()
        hits.append(100 * np.mean(draw.choice(counted, 5000) == pid))
    assert np.mean(hits) == pytest.approx(CHANCE, abs=0.05)


def test_controls_that_hold_are_silent(record, good):
    assert judge(good) == []
    assert (
        judge([*good, record("lstm-changes", 20.0), record("mean", 80.0, dataset="walkers"), record("max", 4.0)]) == []
    )
    assert (
        judge([*good, record("of-a-plugin", 30.0)]) == []  # which may read order
    )
    assert judge([*good, record("gru", 80.0, dataset=APPEARANCE), record("flow-only", 2.7, dataset=APPEARANCE)]) == []


def test_groups_of_settings_are_judged_apart(record, good):
    (line,) = judge([*good, record("cnn3d", 3.0, epochs=12)])
    assert line.startswith("cnn3d reaches R1 3.0")
    for other in (record("cnn3d", 3.0, "test"), record("cnn3d", 3.0, test_frames=1), record("cnn3d+afa", 3.0)):
        assert judge([*good, other]) == []


@pytest.mark.parametrize(
    ("kept", "added", "message"),
    [
        ([1, 2, 3, 4, 5], [("mean", 4.2)], "mean reaches R1 4.2"),
        ([0, 1, 3], [("cnn3d", 49.9)], "cnn3d reaches R1 49.9"),
        ([0, 1, 2], [("cnn3d", 4.2, "both")], "cnn3d with shuffled frames reaches R1 4.2"),
        (range(6), [("flow", 19.9)], "flow reaches R1 19.9 on walkers-gait, below 20.0: mean's 0.0 +20"),
        ([], [("lstm-changes", 50.0)], "lstm-changes cannot be judged"),
        (range(6), [("gru", 4.0)], "gru reaches R1 4.0"),
        (range(6), [("rqen", 4.2)], "rqen reaches R1 4.2 on walkers-gait, above 4.1 (3 x chance)"),
        (range(6), [("sta", 79.9, "none", APPEARANCE)], "sta reaches R1 79.9 on walkers-appearance, below 80.0"),
        (range(6), [("flow-only", 0.0)], "flow-only reaches R1 0.0"),
        (
            range(6),
            [("gru", 79.9, "none", APPEARANCE)],
            "gru reaches R1 79.9 on walkers-appearance, below 80.0: mean's 90.0 -10",
        ),
        (
            [],
            [("cnn3d", 99.0, "none", APPEARANCE)],
            "cnn3d cannot be judged: mean was not run on walkers-appearance",
        ),
    ],
)
def test_failed_control_is_named(record, good, kept, added, message):
    (line,) = judge([*(good[number] for number in kept), *(record(*each) for each in added)])
    assert line.startswith(message)


def test_seeds_are_judged_by_mean(record):
    assert judge([record("cnn3d", 40.0), record("cnn3d", 60.0)]) == []
    assert len(judge([record("cnn3d", 40.0), record("cnn3d", 59.0)])) == 1


def test_doctor_runs_quick_controls_once(bench, results, monkeypatch):
    name = "walkers-gait:tiny"
    monkeypatch.setattr(controls, "DATASET", name)
    monkeypatch.setattr(controls, "is_control", lambda each: True)  # though on other data
    monkeypatch.setattr(controls, "by_own_recipe", lambda each: True)  # and with no epochs
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


def test_committed_controls_hold():
    records = exported_records(Path(__file__).parents[3] / "results" / "measured" / "controls.parquet")
    assert sum(controls.is_control(each) for each in records) >= 6  # mean and cnn3d: ordered, shuffled, by clothes
    assert judge(records) == []

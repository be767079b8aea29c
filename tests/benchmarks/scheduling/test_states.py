"""Which planned runs are finished, running, failed or missing, and how long they will take."""

from dataclasses import replace

import pytest

from benchmarks.runs import staleness
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Phase
from benchmarks.runs.unfinished import UnfinishedRun, note_early_failure, start_run, unfinished_runs
from benchmarks.scheduling.estimate import estimate_in_turn, estimate_seconds
from benchmarks.scheduling.states import states_by_request, states_of
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments
from benchmarks.wording import format_duration


def planned(name, **choice):
    return list(experiments(SUITES.get(name)(), Choice(**choice)))


@pytest.fixture
def _any_code(monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda _: "this")


@pytest.mark.usefixtures("_any_code")
def test_states(make_record):
    one, two, three, four, five, six = (each for each in planned("table4", datasets=("walkers",), seeds=1))
    here = {"walkers/0": {"today"}}

    def measured(each, data, code="this"):
        return make_record(
            experiment=replace(each.experiment, data=data, test_data=data, weights="w"), code=code, phases={}
        )

    found = [measured(one, "today"), measured(two, "yesterday"), measured(three, "today", "other")]
    begun = [
        UnfinishedRun(RunFolder(None), four.experiment, "failed", "out of memory"),
        UnfinishedRun(RunFolder(None), five.experiment, "running", "epoch 3 of 40"),
    ]
    words = [
        str(state) for state in states_of([one, two, three, four, five, six], states_by_request(found, begun, here), {})
    ]
    assert words == [
        "done",
        "stale: other data: walkers",
        "stale: made by other code",
        "failed: out of memory",
        "running: epoch 3 of 40",
        "not run",
    ]
    again = [*found, measured(two, "today")]
    assert [state.name for state in states_of([two], states_by_request(again, [], here), {})] == ["done"]
    assert str(states_of([six], {}, {"walkers": "no folder"})[0]) == "data set absent: no folder"


def test_time_left_from_recorded_speed(make_record):
    mean, qan = planned("table4", datasets=("walkers",), seeds=1)[:2]
    settings = {**mean.experiment.settings, "epochs": 10, "clip_frames": 5}
    ran = make_record(
        experiment=replace(mean.experiment, settings=settings),
        # 20 clips an epoch, 10 epochs of 5 frames: 1,000 frames at 100 a second; 300 test frames at 150
        phases={"train": Phase(10, 1000, 100), "extract": Phase(2, 300, 150)},
    )
    # 40 epochs of 20 clips of 7 frames = 5,600 frames: 56 s, and 2 s of extraction
    assert estimate_seconds(mean.experiment, [ran]) == pytest.approx(58)
    assert estimate_seconds(qan.experiment, [ran]) == pytest.approx(58)  # another baseline on the same backbone
    bigger = replace(mean.experiment, settings={**mean.experiment.settings, "backbone": "resnet50"})
    assert estimate_seconds(bigger, [ran]) is None
    one_frame = replace(mean.experiment, settings={**mean.experiment.settings, "test_frames": 1})
    assert estimate_in_turn([mean.experiment, one_frame], [ran]) == pytest.approx([58, 2])  # one training
    assert estimate_in_turn([one_frame], [ran], done=[mean.experiment]) == pytest.approx([2])
    assert [format_duration(each) for each in (45, 750, 12_000, 190_000)] == ["45 s", "12 min", "3 h 20 min", "2 d 4 h"]


def test_time_left_of_a_running_experiment(make_record):
    each, like = planned("table4", datasets=("walkers",), seeds=2)[::6]
    settings = each.experiment.settings
    frames = (
        100 * settings["epochs"] * settings["clip_frames"]
    )  # 100 clips an epoch, at half as many frames/s: 2 s an epoch
    phases = {"train": Phase(1.0, frames, 50 * settings["clip_frames"]), "extract": Phase(1.0, 0, 1.0)}
    done = make_record(experiment=like.experiment, phases=phases)
    begun = UnfinishedRun(RunFolder(None), each.experiment, "running", "epoch 10 of 40", 10 / 40)
    (state,) = states_of([each], states_by_request([done], [begun], {}), {})
    assert state.detail == "epoch 10 of 40, about 60 s left"
    (alone,) = states_of([each], states_by_request([], [begun], {}), {})
    assert alone.detail == "epoch 10 of 40"
    (by_itself,) = states_of([each], states_by_request([], [begun._replace(left=60.0)], {}), {})
    assert by_itself.detail == "epoch 10 of 40, about 60 s left"


def test_time_left_from_the_last_epoch(results):
    (each,) = planned("fig3b", datasets=("walkers:tiny",), seeds=1)[:1]
    folder = RunFolder(results / each.experiment.name)
    folder.path.mkdir(parents=True)
    start_run(folder, each.experiment, "code")
    lines = [
        f"2026-11-25 10:2{minute}:30 epoch {epoch}  iteration 9  loss 1\n" for minute, epoch in ((1, 1), (5, 2), (8, 3))
    ]
    for shown, left in ((3, 3 * 60 * (each.experiment.settings["epochs"] - 3)), (1, None)):
        folder.log.write_text("2026-11-25 10:20:30 begins\n" + "".join(lines[:shown]))
        (found,) = unfinished_runs(results)
        assert found.left == left


def test_early_failure_is_dropped_when_the_run_begins(results):
    each = planned("table3", seeds=1)[-1]
    note_early_failure(results, each.experiment, "no such weights")
    assert states_by_request([], unfinished_runs(results), {})[each.experiment.request_hash].name == "failed"
    begun = replace(each.experiment, data="d")
    start_run(RunFolder(results / begun.name), begun, "code")
    assert [found.state for found in unfinished_runs(results)] == ["stopped"]

"""A claim compares only runs that differ in nothing but what it is about."""

from dataclasses import replace

import pytest

from benchmarks.reporting.pairing import paired_runs
from benchmarks.reporting.verdict import judge
from benchmarks.suites import SUITES, controls
from benchmarks.suites.claims import CLAIMS
from benchmarks.suites.suite import Row, Suite

EQUAL = {"a": 0.0, "b": 0.0, "c": 0.0}
FAMILIES = SUITES.get("families")
NO_EFFECT = dict.fromkeys(("mean", "qan", "lstm-changes", "cnn3d", "flow"), 0.0)
UNLIKE = "no seed has runs on all sides with the same settings, weights, code and processor"


def claim(text):
    return next(each for each in CLAIMS if each.text == text)


def changed(run, **settings):
    return replace(run, record=replace(run.record, experiment=replace(
        run.experiment, settings={**run.experiment.settings, **settings})))  # fmt: skip


def number_of_pairs(runs, text="AFA helps mean"):
    found = paired_runs(claim(text), runs)
    assert not isinstance(found, str), found
    return len(found[0])


@pytest.mark.parametrize("other", [{"epochs": 3}, {"sampling": "consecutive"}, {"lr": 0.5}, {"clip_frames": 3}])
def test_rows_of_one_baseline_have_the_same_settings(world, other):
    runs = [changed(run, **other) if run.experiment.method == "mean" else run for run in world(EQUAL)]
    assert paired_runs(claim("AFA helps mean"), runs) == UNLIKE


@pytest.mark.parametrize("other", ["gpu", "code", "weights"])
def test_other_processor_code_or_initial_weights_are_not_compared(world, other):
    def altered(run):
        if run.experiment.method != "mean":
            return run
        more = {
            "gpu": {"environment": replace(run.record.environment, gpu="another")},
            "code": {"code": "0" * 64},
            "weights": {"experiment": replace(run.experiment, weights="f")},  # another file of the same name
        }[other]
        return replace(run, record=replace(run.record, **more))

    found = [altered(run) for run in world({"a": 0.0, "b": 0.06, "c": 0.0})]
    helps = next(each for each in judge(found) if each.claim.text == "AFA helps mean")
    assert helps.verdict_text == "UNDECIDED"
    assert "same settings, weights, code and processor" in helps.missing


def test_order_of_settings_in_a_record_does_not_matter(world):
    def reversed_settings(run):
        settings = dict(reversed(run.experiment.settings.items()))
        return replace(run, record=replace(run.record, experiment=replace(run.experiment, settings=settings)))

    runs = [reversed_settings(run) if run.experiment.method == "mean" else run for run in world(EQUAL)]
    assert number_of_pairs(runs) == 3


def test_transfers_are_compared_although_each_has_final_weights_of_its_own(world):
    found = [
        replace(
            run, record=replace(run.record, experiment=replace(run.experiment, test="dukev", weights=f"{number:x}"))
        )
        for number, run in enumerate(world({"a": 0.0, "b": 0.06, "c": 0.0}))
    ]
    assert judge(found)[0].runs == 3


def test_shuffled_runs_are_controls(judged):
    ordered, shuffled = (judged({"a": 0.0, "b": 0.3, "c": 0.0}, changes=changes) for changes in ((), ("shuffle=both",)))
    assert ordered["AFA helps mean"].interval is not None
    assert all(each.interval is None for each in shuffled.values())


def test_baselines_may_have_clips_of_their_own(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")

    class Clips(Suite):
        """A motion baseline on neighbouring frames."""

        def rows(self, dataset):
            return (Row("mean", "mean"), Row("cnn3d", "cnn3d", ("sampling=consecutive", "test_chunk=9")))

    tuned = world({"mean": 0.1, "cnn3d": 0.0}, suite=Clips, changes=("tuning_trials=20",))
    found = next(each for each in judge(tuned) if each.claim.text == "mean beats cnn3d")
    assert (found.runs, found.verdict) == (3, "SUPPORTED")


def test_clips_of_a_baselines_own_are_the_same_in_all_its_runs(world):
    runs = [
        changed(run, test_chunk=9) if run.experiment.method == "cnn3d" and run.experiment.seed < 2 else run
        for run in world(NO_EFFECT, seeds=5, suite=FAMILIES)
    ]
    assert number_of_pairs(runs, "mean beats cnn3d") == 3


def test_seeds_of_the_flow_baseline_with_other_raft_weights_are_no_repetitions(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    found = world(NO_EFFECT, suite=FAMILIES)

    def seeds(digests):
        read = [
            replace(run, record=replace(run.record, experiment=replace(run.experiment, flow_weights=digest)))
            for run, digest in zip(found, digests, strict=True)
        ]
        return next(each.runs for each in judge(read) if each.claim.text == "mean beats flow")

    flow = [run.experiment.method == "flow" for run in found]
    assert seeds("e" if each else "none" for each in flow) == 3
    assert seeds(f"{run.experiment.seed:x}" if each else "none" for run, each in zip(found, flow, strict=True)) == 1


def test_seeds_are_paired(world):
    found = world({"a": 0.0, "b": 0.06, "c": 0.0})
    lone = [run for run in found if run.experiment.method != "mean" or run.experiment.seed != 2]
    assert next(each for each in judge(lone) if each.claim.text == "AFA helps mean").runs == 2


@pytest.mark.parametrize("order", [1, -1])
def test_most_pairs_are_compared(world, order):
    many, few = world(EQUAL, seeds=4), world(EQUAL, seeds=2, changes=("epochs=3",))
    assert number_of_pairs([*many, *few][::order]) == 4


def test_a_seed_that_some_splits_lack_is_left_out(world):
    runs = world(EQUAL, seeds=2, dataset="ilidsvid")
    lacking = [run for run in runs if (run.experiment.split, run.experiment.seed) != (3, 1)]
    assert number_of_pairs(runs) == 20
    assert number_of_pairs(lacking) == 10
    other = [run for run in runs if run.experiment.seed == (run.experiment.split == 3)]  # no seed ran on all splits
    arms = paired_runs(claim("AFA helps mean"), other)
    assert [(run.experiment.split, run.experiment.seed) for run in arms[0]] == [(n, int(n == 3)) for n in range(10)]


def test_first_seed_stands_for_a_split_where_none_ran_on_all(world):
    runs = world(EQUAL, seeds=5, dataset="ilidsvid")
    half = [run for run in runs if (run.experiment.seed < 2) == (run.experiment.split < 5)]  # seeds 0, 1 or 2, 3, 4
    arms = paired_runs(claim("AFA helps mean"), half)
    found = [(run.experiment.split, run.experiment.seed) for run in arms[0]]
    assert found == [(split, 0 if split < 5 else 2) for split in range(10)]


def test_splits_with_digests_of_their_own_are_the_repetition(world):
    found = world({"a": 0.0, "b": 0.1, "c": 0.0}, seeds=1, dataset="ilidsvid")
    found = [_with_digest(run, f"{run.experiment.split:x}" * 8) for run in found]
    assert judge(found)[0].runs == 10
    again = _with_digest(found[0], "f" * 8)  # its split was read in two versions
    assert judge([*found, again])[0].runs == 1


def _with_digest(run, digest):
    return replace(run, record=replace(run.record, experiment=replace(run.experiment, data=digest, test_data=digest)))


def test_only_the_missing_side_is_named(world):
    afa = [run for run in world(EQUAL) if run.experiment.method == "mean+afa"]
    assert paired_runs(claim("AFA helps mean"), afa) == "not run: mean"
    mean = [run for run in world(EQUAL) if run.experiment.method == "mean"]
    wanted = "not run: mean+afa, mean+afa lambda=0.0"
    assert paired_runs(claim("the coherence constraint helps"), mean) == wanted


def test_searched_settings_may_differ_only_where_both_sides_are_tuned(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    tuned = world(NO_EFFECT, suite=FAMILIES, changes=("tuning_trials=20",))
    runs = [changed(run, lr=0.5) if run.experiment.method == "cnn3d" else run for run in tuned]
    assert number_of_pairs(runs, "mean beats cnn3d") == 3
    untuned = [changed(run, lr=0.5) if run.experiment.method == "mean" else run for run in world(EQUAL)]
    assert paired_runs(claim("AFA helps mean"), untuned) == UNLIKE


def test_most_trials_that_both_sides_have_are_compared(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    better = {**NO_EFFECT, "cnn3d": 0.1}
    few = world(NO_EFFECT, suite=FAMILIES, changes=("tuning_trials=20",))
    many = world(better, suite=FAMILIES, changes=("tuning_trials=40",))
    for runs in (few + many, many + few):
        found = next(each for each in judge(runs) if each.claim.text == "mean beats cnn3d")
        assert found.interval.estimate == pytest.approx(-0.1, abs=0.02)


def test_unequally_tuned_runs_are_shown_and_decide_nothing(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    untuned = world({**NO_EFFECT, "mean": 0.3}, suite=FAMILIES)
    tuned = world({**NO_EFFECT, "mean": 0.3}, suite=FAMILIES, changes=("tuning_trials=20",))
    runs = [run for run in tuned if run.experiment.method == "mean"]
    runs += [run for run in untuned if run.experiment.method == "cnn3d"]
    found = next(each for each in judge(runs) if each.claim.text == "mean beats cnn3d")
    assert (found.runs, found.verdict) == (3, "UNDECIDED")
    assert found.missing == "not tuned alike: `bench tune` each method with the same --trials, at least 20"


class OnlyConstraint(Suite):
    """Both sides of the constraint."""

    def rows(self, dataset):
        return Row("with", "mean+afa"), Row("without", "mean+afa", ("lambda=0.0",))


def test_setting_under_test_may_differ_and_no_other(world):
    runs = world({"with": 0.0, "without": 0.0}, suite=OnlyConstraint)
    text = "the coherence constraint helps"
    assert number_of_pairs(runs, text) == 3
    other = [changed(run, sigma=0.5) if run.experiment.settings["lambda"] else run for run in runs]
    assert isinstance(paired_runs(claim(text), other), str)

"""Tuning uses only training identities, starts with the unchanged recipe, resumes, and writes down what it did."""

import errno
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from baselines.interface.errors import UserError
from benchmarks.engine import scoring
from benchmarks.engine.run import Machine, plan
from benchmarks.engine.training import DivergedError, Stopped
from benchmarks.experiments.settings import SEARCHED, resolve
from benchmarks.runs.record import Metrics
from benchmarks.runs.store import load_records
from benchmarks.scheduling import tuning

CHANGES = ["epochs=1", "identities=2", "clips=2", "test_chunk=8"]
HOW = Machine(0, 10.0, lambda *_: None)


def asked(method="mean", seed=0, changes=(), recipe="small"):
    return plan(
        method,
        "walkers:tiny",
        recipe=recipe,
        changes=[*CHANGES, *changes],
        seed=seed,
        split=0,
        root=None,
        report=HOW.report,
    )


@pytest.fixture
def quick(monkeypatch, make_record):
    """Trials that take no time; the best lr is 3e-3. The run with the number `.stop` is interrupted."""

    class Quick:
        stop = -1
        seen: list

        def __init__(self):
            self.seen = []

        def __call__(self, experiment, settings, data, folder, machine, tested):
            assert not tested
            self.seen.append(experiment.name)
            if len(self.seen) - 1 == self.stop:
                raise Stopped("stopped")
            if settings.lr > 5e-3:
                raise DivergedError("the loss is not finite")
            score = 1 / (1 + abs(settings.lr - 3e-3))
            metrics = Metrics("validation", "before", score, score, 1.0, 1.0, 1.0, 10, 0)
            return make_record(experiment=experiment, metrics=[metrics])

    made = Quick()
    monkeypatch.setattr(tuning, "run", made)
    return made


def test_trials_use_training_identities_only(results, monkeypatch):
    looked_at = []

    def watched(model, tracklets, *args, **kwargs):
        looked_at.append(tracklets)
        return extract(model, tracklets, *args, **kwargs)

    extract = scoring.extract
    monkeypatch.setattr(scoring, "extract", watched)
    experiment, settings, data = asked()
    tried, folder = tuning.tune(experiment, settings, data, 2, results, HOW)
    assert len(tried) == len(looked_at) == 2
    assert {subset for tracklets in looked_at for subset in tracklets.subset} == {"train"}
    assert {tracklets.pid.nunique() for tracklets in looked_at} == {2}  # of 8
    found = load_records(folder)
    assert {row.protocol for record in found for row in record.metrics} == {"validation"}
    assert all(0 < each.score <= 1 for each in tried)
    assert load_records(results) == []  # trials are not listed as results


def test_trials_stay_within_bounds(results, quick):
    experiment, settings, data = asked("mean", recipe="control")
    tried, _ = tuning.tune(experiment, settings, data, 40, results, HOW)
    assert tried[0].values == {"lr": 1e-3, "clip_frames": 8, "sampling": "consecutive", "spacing": 1}
    assert tuning.best(tried).score >= tried[0].score
    assert len({each.values["lr"] for each in tried}) > 30  # rounded to three digits, so that two may be equal
    for each in tried:
        assert 1e-4 <= each.values["lr"] <= 1e-2
        assert each.values["clip_frames"] in (4, 8, 16)
        assert ("spacing" in each.values) == (each.values["sampling"] == "consecutive")
    assert {each.score == 0 for each in tried if each.values["lr"] > 5e-3} == {True}  # the loss diverged


def test_each_trial_of_a_baseline_that_reads_order_sees_neighbouring_frames(results, quick):
    tried, folder = tuning.tune(*asked("lstm"), 20, results, HOW)
    assert {(each.values["sampling"], each.values["spacing"]) for each in tried} == {("consecutive", 1)}
    assert {(each.values["clip_frames"], each.values["test_chunk"]) for each in tried} == {(8, 8), (16, 16)}
    recipe = folder / "tuned.toml"
    tuning.write_recipe(recipe, "small", "lstm", asked("lstm")[1], tried, 1)
    written = resolve(str(recipe), "lstm").as_dict()
    assert {key: written[key] for key in tuning.best(tried).values} == tuning.best(tried).values


def test_search_is_deterministic(results, quick):
    once, again, other = (
        [each.values for each in tuning.tune(*asked(seed=seed), 5, results / place, HOW)[0]]
        for seed, place in ((0, "a"), (0, "b"), (1, "c"))
    )
    assert once == again
    assert once[1:] != other[1:]


def test_interrupted_search_resumes(results, quick):
    whole = tuning.tune(*asked(), 13, results / "whole", HOW)[0]
    for stop in (0, 4, 11):
        quick.seen, quick.stop = [], stop
        place = results / f"stopped-{stop}"
        with pytest.raises(Stopped):
            tuning.tune(*asked(), 13, place, HOW)
        interrupted = quick.seen[-1]
        quick.seen, quick.stop = [], -1
        assert tuning.tune(*asked(), 13, place, HOW)[0] == whole
        assert quick.seen[0] == interrupted  # its folder has the checkpoint
        assert len(quick.seen) == 13 - stop
    quick.seen = []
    assert tuning.tune(*asked(), 5, results / "whole", HOW)[0] == whole[:5]  # the same as a search of five trials
    assert quick.seen == []


def test_full_disk_names_the_journal(results, quick, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    planned = asked()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="; free some space") as error:
        tuning.tune(*planned, 1, results, HOW)
    assert Path(error.value.filename).name == "trials.journal"


def test_damaged_journal_is_named(results, quick):
    tuning.tune(*asked(), 1, results, HOW)
    (journal,) = results.rglob("trials.journal")
    journal.write_bytes(b"?" + journal.read_bytes())
    with pytest.raises(UserError, match=r"trials\.journal: damaged \(.*\); delete it to search anew"):
        tuning.tune(*asked(), 1, results, HOW)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: re.sub(r'"values":\[0\.\d', '"values":[0.1', text, count=1), "checksum does not fit"),
        (lambda text: "".join(text.splitlines(keepends=True)[:4] + text.splitlines(keepends=True)[5:]), "line 5"),
        (lambda text: re.sub("(?m)^[0-9a-f]{64} ", "", text), "an earlier version wrote it"),
    ],
    ids=("a flipped value", "a lost line", "no checksums"),
)
def test_changed_journal_is_refused_and_searched_anew_without_training(results, quick, change, said):
    before = tuning.tune(*asked(), 3, results, HOW)[0]
    (journal,) = results.rglob("trials.journal")
    text = journal.read_text()
    journal.write_text(change(text))
    assert journal.read_text() != text
    with pytest.raises(UserError, match=rf"trials\.journal: damaged \(.*{said}.*\); delete it to search anew"):
        tuning.tune(*asked(), 3, results, HOW)
    journal.unlink()
    ran = list(quick.seen)
    assert tuning.tune(*asked(), 3, results, HOW)[0] == before
    assert quick.seen == ran * 2  # the same runs, whose records are there


def test_incomplete_last_line_of_the_journal_is_replaced(results, quick):
    whole = tuning.tune(*asked(), 3, results / "whole", HOW)[0]
    tuning.tune(*asked(), 2, results / "killed", HOW)
    (journal,) = (results / "killed").rglob("trials.journal")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert tuning.tune(*asked(), 3, results / "killed", HOW)[0] == whole
    assert tuning.tune(*asked(), 3, results / "killed", HOW)[0] == whole


def test_tune_rejects_impossible_settings(results):
    for change, message in (("holdout=0.1", "fewer than 2 identities"), ("epochs=0", "must be greater than 0")):
        with pytest.raises(UserError, match=message):
            tuning.tune(*asked(changes=[change]), 2, results, HOW)


def test_shorter_trials_keep_the_shape_of_the_schedule():
    settings = resolve("small", "mean", ["epochs=40", "lr_step=30", "warmup_epochs=4", "milestones=20,32"])
    short = tuning.shortened(settings, 10)
    assert (short.epochs, short.lr_step, short.warmup_epochs, short.milestones) == (10, 8, 1, "5,8")
    assert replace(short, epochs=40, lr_step=30, warmup_epochs=4, milestones="20,32") == settings


def test_written_recipe(tmp_path):
    settings = resolve("small", "mean", [*CHANGES, "weight_decay=0.5"])
    tried = [tuning.Trial({"lr": 1e-3}, 0.25), tuning.Trial({"lr": 2.5e-5, "clip_frames": 4}, 0.5)]
    tuning.write_recipe(tmp_path / "mine.toml", "small", "mean", settings, tried, 12)
    for method in ("mean", "mean+afa"):
        found = resolve(str(tmp_path / "mine.toml"), method)
        expected = ["lr=2.5e-5", "clip_frames=4", "weight_decay=0.5", "tuning_trials=2"]
        assert found == resolve("small", method, [*CHANGES, *expected])
    assert "2 trials of 12 epochs: mAP 50.0" in (tmp_path / "mine.toml").read_text().splitlines()[0]


def test_tune_run_and_table(bench, results):
    words = [word for change in CHANGES for word in ("--set", change)]
    answer = bench("tune", "--method", "mean+afa", "--dataset", "walkers:tiny", "--trials", 2, *words)
    assert answer.status == 0
    file = re.search(r"--recipe (\S+)", answer.out)[1]
    assert bench("tune", "--method", "mean+afa", "--dataset", "walkers:tiny", "--trials", 2, *words).out == answer.out
    assert bench("run", "--method", "mean+afa", "--dataset", "walkers:tiny", "--recipe", file).status == 0
    (record,) = load_records(results)
    settings, chosen = record.experiment.settings, tomllib.loads(Path(file).read_text())
    assert {key: settings[key] for key in SEARCHED} == {key: chosen[key] for key in SEARCHED}
    assert (settings["tuning_trials"], settings["holdout"], settings["lambda"]) == (2, 0.0, 0.1)
    table = bench("table").out
    assert "mean+afa (tuned)" in table
    assert "tuned: 2 trials each; by mAP on held-out training identities" in table
    assert f"mean+afa (tuned): clip_frames={settings['clip_frames']}, lr={settings['lr']}" in table


def test_tune_several_methods(bench, results, tmp_path):
    words = [word for change in CHANGES for word in ("--set", change)]
    asked = ("tune", "--dataset", "walkers:tiny", "--trials", 1, *words)
    answer = bench(*asked, "--method", "mean", "--method", "lstm", "--to", tmp_path / "tuned")
    assert answer.status == 0
    assert sorted(file.name for file in (tmp_path / "tuned").iterdir()) == ["lstm.toml", "mean.toml"]
    assert resolve(str(tmp_path / "tuned" / "lstm.toml"), "lstm").tuning_trials == 1
    assert bench(*asked, "--method", "mean", "--to", tmp_path / "one.toml").status == 2


def test_runs_are_as_long_as_the_recipe_says_after_short_trials(bench, tmp_path):
    words = [word for change in (*CHANGES, "epochs=3") for word in ("--set", change)]
    asked = ("tune", "--dataset", "walkers:tiny", "--method", "mean", "--trials", 1, *words)
    assert bench(*asked, "--trial-epochs", 1, "--to", tmp_path).status == 0
    assert resolve(str(tmp_path / "mean.toml"), "mean").epochs == 3
    assert "1 trials of 1 epochs" in (tmp_path / "mean.toml").read_text()

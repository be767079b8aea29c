"""A verdict claims no more than the data support, on runs whose effects are known."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting import verdict
from benchmarks.reporting.verdict import HEAD, cells, grids, judge
from benchmarks.runs.finished import FinishedRun
from benchmarks.suites import SUITES
from benchmarks.suites.claims import CLAIMS
from benchmarks.suites.suite import Choice, Row, Suite, experiments

PEOPLE, EACH = 60, 4


class Few(Suite):
    """The two methods of the first claim, and the constraint's."""

    def rows(self, dataset):
        return (Row("a", "mean"), Row("b", "mean+afa"), Row("c", "mean+afa", ("lambda=0.0",)))


@pytest.fixture
def world(make_record):
    """As `_world`."""
    return partial(_world, make_record)


def _world(make_record, effects, seeds=3, dataset="mars", suite=Few, changes=()):
    """Finished runs of methods whose mAP differs from `mean`'s by `effects`, with noise of seeds and people."""
    draw = np.random.default_rng(5)
    pids = np.repeat(np.arange(PEOPLE), EACH)
    people = draw.normal(0.5, 0.1, PEOPLE)[pids]
    found = []
    for planned in experiments(suite(), Choice((dataset,), seeds=seeds, changes=changes)):
        experiment = replace(planned.experiment, data="d", test_data="d", weights="w")
        noise = draw.normal(0, 0.005) + draw.normal(0, 0.02, len(pids))
        table = pd.DataFrame(
            {
                "protocol": "official",
                "feature": "before",
                "query": [f"q{number}" for number in range(len(pids))],
                "pid": pids,
                "camid": 1,
                "average_precision": people + effects[planned.row.label] + noise,
                "first_hit_rank": 1.0,
            }
        )
        found.append(FinishedRun(make_record(experiment=experiment), rows=table))
    return found


@pytest.fixture
def judged(world):
    """The claims by their texts, judged by a `world`."""
    return lambda *arguments, **options: {each.claim.text: each for each in judge(world(*arguments, **options))}


def test_effect_is_supported_and_opposite_contradicted(judged):
    found = judged({"a": 0.0, "b": 0.06, "c": 0.12})
    helps = found["AFA helps mean"]
    assert helps.verdict_text == "SUPPORTED"
    assert helps.interval.low < 0.06 < helps.interval.high
    assert helps.paper == pytest.approx(0.028)  # Table 4, MARS, mAP: 82.9 less 80.1
    assert found["the coherence constraint helps"].verdict_text == "CONTRADICTED"


def test_drawn_data_has_its_own_words(judged):
    found = judged({"a": 0.0, "b": 0.06, "c": 0.12}, dataset="walkers")
    assert found["AFA helps mean"].verdict_text == "holds in this world"
    assert found["the coherence constraint helps"].verdict_text == "does not hold in this world"


def test_no_effect_is_not_supported(judged):
    assert judged({"a": 0.0, "b": 0.0, "c": 0.0})["AFA helps mean"].verdict_text in ("UNDECIDED", "NEGLIGIBLE")


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing(judged, seeds):
    helps = judged({"a": 0.0, "b": 0.3, "c": 0.0}, seeds=seeds)["AFA helps mean"]
    assert helps.verdict_text == "UNDECIDED"
    assert "how much seeds vary; at least 3 are needed" in helps.missing
    assert helps.interval.question == "checkpoints"  # of which they do say something
    assert 0.25 < helps.interval.low < helps.interval.high < 0.35
    assert dict(zip(HEAD, cells(helps), strict=True))["inside"] == ""  # the paper's effect is of methods
    assert helps.p == 1 / 10_000  # no flip of whole people comes near: (0 + 1) / (9,999 + 1)


def test_splits_are_the_repetition(world):
    found = world({"a": 0.0, "b": 0.1, "c": 0.0}, seeds=1, dataset="ilidsvid")
    helps = judge(found)[0]
    assert (helps.runs, helps.interval.question) == (10, "methods")
    assert not helps.missing
    two = judge([run for run in found if run.experiment.split < 2])[0]
    assert (two.runs, two.interval.question) == (2, "checkpoints")
    assert "2 splits cannot show how much splits vary" in two.missing


def test_missing_runs_name_their_suite(judged):
    found = judged({"a": 0.0, "b": 0.1, "c": 0.0})
    assert found["AFA helps qan"].missing == "not run: qan+afa, qan (suite table4)"


def test_missing_protocol_decides_nothing(world):
    helps = judge(world({"a": 0.0, "b": 0.06, "c": 0.0}), "full")[0]
    assert (helps.verdict_text, helps.missing) == ("UNDECIDED", "the runs do not have protocol full")


@pytest.mark.parametrize("other", ["gpu", "code"])
def test_other_processor_or_code_is_not_compared(world, other):
    def changed(run):
        if run.experiment.method != "mean":
            return run
        environment = replace(run.record.environment, gpu="another")
        more = {"environment": environment} if other == "gpu" else {"code": "0" * 64}
        return replace(run, record=replace(run.record, **more))

    found = [changed(run) for run in world({"a": 0.0, "b": 0.06, "c": 0.0})]
    helps = next(each for each in judge(found) if each.claim.text == "AFA helps mean")
    assert helps.verdict_text == "UNDECIDED"
    assert "same settings, code and processor" in helps.missing


def test_seeds_are_paired(world):
    found = world({"a": 0.0, "b": 0.06, "c": 0.0})
    lone = [run for run in found if run.experiment.method != "mean" or run.experiment.seed != 2]
    assert next(each for each in judge(lone) if each.claim.text == "AFA helps mean").runs == 2


def test_claim_weights_add_up_to_0():
    for claim in CLAIMS:
        assert sum(arm.weight for arm in claim.arms) == pytest.approx(0, abs=1e-12)
        assert any(arm.weight > 0 for arm in claim.arms)


def test_table_shows_effect_and_interval(world):
    [grid] = grids(judge(world({"a": 0.0, "b": 0.06, "c": 0.0})))
    row = dict(zip(grid.head, grid.rows[0], strict=True))
    assert row["claim"] == "AFA helps mean"
    assert row["runs"] == "3"
    assert 4.5 < float(row["effect"]) < 7.5
    assert row["paper"] == "+2.8"
    low, high = (float(each) for each in row["95% interval"].split(" to "))
    assert row["inside"] == ("yes" if low <= 2.8 <= high else "no")


def test_claims_not_run_are_noted_by_suite(world):
    [grid] = grids(judge(world({"a": 0.0, "b": 0.06, "c": 0.0})))
    assert "AFA helps qan" not in {row[0] for row in grid.rows}
    [note] = [note for note in grid.notes if note.startswith("not run, suite table4")]
    assert "AFA helps qan" in note
    assert "not run, suite table5: AFA helps on another data set" in grid.notes


def test_holm_makes_claims_undecided(judged):
    helps = judged({"a": 0.0, "b": 0.06, "c": 0.12})["AFA helps mean"]
    p = (0.03, 0.04, 0.2)  # by Holm 3 x 0.03, 2 x 0.04 (or the former), 0.2
    three = verdict._correct([replace(helps, p=each) for each in p])
    assert [each.verdict_text for each in three] == ["UNDECIDED"] * 3
    assert three[0].missing == "p 0.09 among 3 claims (Holm)"
    one = verdict._correct([replace(helps, p=0.03)])
    assert one[0].verdict_text == "SUPPORTED"
    untested = replace(helps, interval=None, reasons=("not run",))  # fixed beforehand, whatever has run: 2 x 0.03
    assert verdict._correct([replace(helps, p=0.03), untested])[0].verdict_text == "UNDECIDED"


def test_other_protocol_is_marked(world):
    found = world({"a": 0.0, "b": 0.06, "c": 0.12})
    other = [replace(run, rows=run.rows.assign(protocol="full")) for run in found]
    both = [replace(run, rows=pd.concat([run.rows, more.rows])) for run, more in zip(found, other, strict=True)]
    for protocol, said in (
        (None, "protocol official"),
        ("full", "protocol full, NOT THE PRIMARY PROTOCOL (official)"),
    ):
        (grid,) = grids(judge(both, protocol))
        assert said in grid.notes


def test_sigma_effect_spans_the_figure(world):
    effects = {row.label: 0.0 for row in SUITES.get("fig3a")().rows("mars")}
    effects |= {f"motion, 1/sigma {inverse}": 0.01 * np.log2(inverse) for inverse in (2, 5, 10, 20, 40, 80)}
    found = {each.claim.text: each for each in judge(world(effects, suite=SUITES.get("fig3a")))}
    falls = "accuracy falls with sigma, 1/80 to 1/2, "
    # A point a doubling, and five doublings and a third from 1/80 to 1/2.
    assert found[f"{falls}motion distilled"].interval.estimate == pytest.approx(0.01 * np.log2(80 / 2), abs=0.01)
    assert found[f"{falls}coherence distilled"].interval.estimate == pytest.approx(0, abs=0.01)


def test_families_need_equal_tuning(world):
    effects = {**dict.fromkeys(("mean", "qan"), 0.1), **dict.fromkeys(("lstm", "cnn3d", "flow"), 0.0)}
    others = {name: 0.1 - effect for name, effect in effects.items()}
    untuned = world(effects, suite=SUITES.get("families"))
    tuned = world(others, suite=SUITES.get("families"), changes=("tuning_trials=6", "lr=1e-3"))
    half = [run for run in tuned if run.experiment.method != "lstm"]

    def said(found):
        return next(each for each in judge(found) if each.claim.suite == "families")

    for found in (untuned, untuned + half, half + untuned):
        assert said(found).verdict == "UNDECIDED"
        assert "unequal tuning" in said(found).missing
    more = world(effects, seeds=5, suite=SUITES.get("families"))  # of which two seeds were never tuned
    longer = world(effects, suite=SUITES.get("families"), changes=("tuning_trials=20",))
    again = [run for run in longer if run.experiment.method == "mean"]  # by more trials, and it alone
    for found in (tuned, untuned + tuned, tuned + untuned, more + tuned, tuned + again):
        assert said(found).verdict == "CONTRADICTED"
        assert said(found).interval.estimate == pytest.approx(-0.1, abs=0.02)

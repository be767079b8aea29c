"""A verdict claims no more than the data support, on runs whose effects are known."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.reporting import verdict
from benchmarks.reporting.statistics import permutation_test
from benchmarks.reporting.verdict import judge
from benchmarks.reporting.verdict_tables import HEAD, cells, grids
from benchmarks.runs.record import Metrics, Phase
from benchmarks.suites import SUITES, controls
from benchmarks.suites.claims import CLAIMS, EXPLORATORY, HYPOTHESIS, PAPER, claims_about, family_size
from benchmarks.suites.suite import Row, Suite


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


@pytest.mark.parametrize("control", [controls.DATASET, f"{controls.APPEARANCE}:tiny"])
def test_controls_have_no_claims(judged, control):
    assert judged({"a": 0.0, "b": 0.06, "c": 0.12}, dataset=control) == {}


def test_no_effect_is_not_supported(judged):
    assert judged({"a": 0.0, "b": 0.0, "c": 0.0})["AFA helps mean"].verdict_text in ("UNDECIDED", "NEGLIGIBLE")


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing(judged, seeds):
    helps = judged({"a": 0.0, "b": 0.3, "c": 0.0}, seeds=seeds)["AFA helps mean"]
    assert helps.verdict_text == "UNDECIDED"
    assert "how much seeds vary; at least 3 are needed" in helps.missing
    assert helps.interval.question == "checkpoints"  # of which they do say something
    assert 0.25 < helps.interval.low < helps.interval.high < 0.35
    row = dict(zip(HEAD, cells(helps), strict=True))
    assert (row["95% interval"], row["inside"]) == ("", "")  # the paper's effect is one of methods
    assert row["other people too"]
    assert helps.p == 1 / 10_000  # no flip of whole people comes near: (0 + 1) / (9,999 + 1)


def test_flips_of_people_are_drawn_by_the_name_of_the_claim(world):
    found = world({"a": 0.0, "b": 0.003, "c": 0.0}, seeds=1)
    helps = next(each for each in judge(found) if each.claim.text == "AFA helps mean")
    below, above = (run.rows.average_precision.to_numpy()[None] for run in found[:2])
    digest = hashlib.sha256("\x1f".join(("permutation", "AFA helps mean", "mars", "mars")).encode()).hexdigest()
    draw = np.random.Generator(np.random.PCG64(int(digest[:16], 16) // 2))
    assert 0.001 < helps.p < 1
    assert helps.p == permutation_test(above, below, found[0].rows.pid.to_numpy(), draw)


def test_splits_are_the_repetition(world):
    found = world({"a": 0.0, "b": 0.1, "c": 0.0}, seeds=1, dataset="ilidsvid")
    helps = judge(found)[0]
    assert (helps.runs, helps.interval.question, helps.people.question) == (10, "training", "methods")
    assert not helps.missing
    two = judge([run for run in found if run.experiment.split < 2])[0]
    assert (two.runs, two.interval.question) == (2, "checkpoints")
    assert "2 splits cannot show how much splits vary" in two.missing


def test_one_seed_on_each_split_plans_no_seeds(world):
    """The spread over splits says nothing of how much seeds vary within a split."""
    found = [
        each for each in judge(world({"a": 0.0, "b": 0.001, "c": 0.0}, seeds=1, dataset="ilidsvid")) if each.interval
    ]
    assert {each.verdict_text for each in found} == {"UNDECIDED"}
    assert {each.missing for each in found} == {"run a second seed on each split, to see how much seeds vary"}
    assert {each.needed for each in found} == {None}


def test_missing_runs_name_their_suite(judged):
    found = judged({"a": 0.0, "b": 0.1, "c": 0.0})
    assert found["AFA helps qan"].missing == "not run: qan+afa, qan (suite table4)"


def test_missing_protocol_decides_nothing(world):
    helps = judge(world({"a": 0.0, "b": 0.06, "c": 0.0}), "full")[0]
    assert (helps.verdict_text, helps.missing) == ("UNDECIDED", "the runs do not have protocol full")


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


def test_holm_within_a_family(judged):
    helps = replace(judged({"a": 0.0, "b": 0.06, "c": 0.12})["AFA helps mean"], verdict="UNDECIDED", reasons=())
    p = (0.03, 0.04, 0.2)  # by Holm 3 x 0.03, 2 x 0.04 (or the former), 0.2
    three = verdict._decide([replace(helps, p=each) for each in p])
    assert [each.verdict_text for each in three] == ["UNDECIDED"] * 3
    (one,) = verdict._decide([replace(helps, p=0.03)])
    assert one.verdict_text == "SUPPORTED"
    untested = replace(helps, interval=None, reasons=("not run",))  # fixed beforehand, whatever has run: 2 x 0.03
    assert verdict._decide([replace(helps, p=0.03), untested])[0].verdict_text == "UNDECIDED"
    alike = [replace(helps, p=0.5, p_negligible=each) for each in (0.03, 0.01)]  # 0.03 and 2 x 0.01
    assert [each.verdict_text for each in verdict._decide(alike)] == ["NEGLIGIBLE"] * 2
    assert verdict._decide([alike[0], untested])[0].verdict_text == "UNDECIDED"


def test_exploratory_claims_stand_alone_and_confirm_nothing(judged):
    helps = replace(judged({"a": 0.0, "b": 0.06, "c": 0.12})["AFA helps mean"], verdict="UNDECIDED", reasons=(), p=0.04)
    explored = replace(helps, claim=replace(helps.claim, family=EXPLORATORY))
    assert [each.verdict_text for each in verdict._decide([explored] * 3)] == ["exploratory: above 0"] * 3


def test_families_are_apart(world):
    effects = {row.label: 0.0 for row in SUITES.get("matrix")().rows("mars")}
    tables = list(grids(judge(world(effects, suite=SUITES.get("matrix")))))
    assert [grid.title for grid in tables] == [
        "mars: what the paper claims",
        "mars: coherence against motion",
        "mars: exploratory",
    ]
    said = [{row[1] for row in table.rows} for table in tables]
    assert all(word.startswith("exploratory: ") for word in said[2])
    assert not any("exploratory" in word for word in said[0] | said[1])


def test_family_sizes():
    assert (family_size(PAPER, "mars", "mars"), family_size(PAPER, "mars", "dukev")) == (4, 1)
    assert family_size(HYPOTHESIS, "mars", "mars") == 7
    assert family_size(EXPLORATORY, "mars", "mars") == 1


@pytest.mark.parametrize(("dataset", "winner"), [("cues:0", "mean"), ("cues:100-hard", "cnn3d")])
def test_world_predicts_the_winner(dataset, winner):
    (claim,) = [each for each in claims_about(dataset, dataset) if each.family == HYPOTHESIS]
    assert next(arm.method for arm in claim.arms if arm.weight > 0) == winner


def test_claims_about_the_worlds_between_are_those_that_their_suite_runs():
    found = {each.text for each in claims_about("cues:50", "cues:50") if each.family != EXPLORATORY}
    assert found == {"AFA helps mean", "mean beats lstm-changes", "mean beats cnn3d", "mean beats flow"}


def test_margin_is_the_smallest_printed_effect():
    # 82.9 less 82.6 on MARS, for the constraint: the smallest of Tables 4 and 5.
    assert verdict.margin() == pytest.approx(0.003)


def test_undecided_claim_says_how_many_seeds_it_takes(judged):
    helps = judged({"a": 0.0, "b": 0.004, "c": 0.12}, seeds=4)["AFA helps mean"]
    assert helps.verdict_text == "UNDECIDED"
    # Student's power at Holm's strictest level, p < 0.05 / 4, over what the true variance may be by one of four seeds.
    deviations = np.sqrt(sum(helps.variances) * 3 / stats.chi2.ppf((np.arange(1000) + 0.5) / 1000, 3))
    powers = [
        stats.nct.sf(
            stats.t.isf(0.05 / 8, seeds - 1), seeds - 1, helps.interval.estimate / deviations * math.sqrt(seeds)
        ).mean()
        for seeds in (helps.needed - 1, helps.needed)
    ]
    assert powers[0] < 0.8 <= powers[1]
    assert helps.missing.startswith(f"about {helps.needed - 4} more seeds (")


@pytest.mark.parametrize(
    ("gpu", "machine"), [(None, "2 cores of a processor"), ("an accelerator", "1 x an accelerator")]
)
def test_undecided_claim_says_what_more_seeds_cost(world, on_splits, gpu, machine):
    """Three splits, on each of which a seed took 90 + 10 s with AFA and 20 s without."""
    runs = []
    for run in on_splits(world({"a": 0.0, "b": 0.003, "c": 0.12}, seeds=4), 3):
        seconds = {"train": 20.0} if run.experiment.method == "mean" else {"train": 90.0, "extract": 10.0}
        phases = {name: Phase(each, 1, 1.0) for name, each in seconds.items()}
        record = replace(run.record, phases=phases, environment=replace(run.record.environment, gpu=gpu))
        runs.append(replace(run, record=record))
    helps = next(each for each in judge(runs) if each.claim.text == "AFA helps mean")
    more = helps.needed - 4
    minutes = more * 3 * (90 + 10 + 20) / 60
    cost = f"{minutes:.0f} min" if minutes < 60 else f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    assert helps.missing.startswith(
        f"about {more} more seeds ({more * 2 * 3} runs, {cost} on {machine}) decide it in 4 of 5"
    )


def test_effect_near_the_margin_is_never_decided(judged):
    helps = judged({"a": 0.0, "b": 0.06, "c": 0.12})["AFA helps mean"]
    near = replace(helps, p=0.9, interval=replace(helps.interval, estimate=0.0), variances=(1.0,), margin=1e-3)
    (told,) = verdict._decide([near])
    assert told.needed is None
    assert "would not tell the effect from 0" in told.missing


def test_paper_effect_only_beside_its_own_data(judged, world):
    assert judged({"a": 0.0, "b": 0.06, "c": 0.12})["AFA helps mean"].paper == pytest.approx(0.028)
    drawn = judge(world({"a": 0.0, "b": 0.06, "c": 0.12}, dataset="walkers"))
    assert {each.paper for each in drawn} == {None}
    (grid,) = grids(drawn)
    assert "paper: empty, because the paper prints no effect on these data" in grid.notes


def test_arms_of_one_baseline_are_paired_and_of_two_are_not(world):
    """Seeds move both rows alike: only within a baseline does that narrow the interval."""

    def moved(found):
        shift = dict(enumerate(np.random.default_rng(3).normal(0, 0.05, 5)))
        return [
            replace(
                run, rows=run.rows.assign(average_precision=run.rows.average_precision + shift[run.experiment.seed])
            )
            for run in found
        ]

    def width(found, text):
        interval = next(each.interval for each in judge(found) if each.claim.text == text)
        return interval.high - interval.low

    few = world({"a": 0.0, "b": 0.06, "c": 0.0}, seeds=5)
    assert width(moved(few), "AFA helps mean") == pytest.approx(width(few, "AFA helps mean"))
    families = world(
        dict.fromkeys(("mean", "qan", "lstm-changes", "cnn3d", "flow"), 0.0), seeds=5, suite=SUITES.get("families")
    )
    assert width(moved(families), "mean beats cnn3d") > 2 * width(families, "mean beats cnn3d")


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


class Distilled(Suite):
    """Both parts distilled, with a factor for each clip."""

    def rows(self, dataset):
        return [
            Row(f"{method} {sigma}", method, (f"sigma={sigma}", "granularity=clip", "lambda=0.1"))
            for method in ("mean+afa", "mean+afa-motion")
            for sigma in (0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
        ]


def test_sigma_effect_spans_all_sigmas(world):
    effects = {
        row.label: -0.01 * np.log2(float(row.label.split()[-1])) * row.method.endswith("-motion")
        for row in Distilled().rows("mars")
    }
    found = {each.claim.text: each for each in judge(world(effects, suite=Distilled))}
    falls = "accuracy falls with sigma, 0.025 to 1, "
    # A point for each doubling of sigma.
    assert found[f"{falls}motion distilled"].interval.estimate == pytest.approx(0.01 * np.log2(1 / 0.025), abs=0.01)
    assert found[f"{falls}coherence distilled"].interval.estimate == pytest.approx(0, abs=0.01)


def test_distilled_parts_are_compared_over_all_sigmas_of_a_granularity(world):
    effects = {row.label: 0.05 * (not row.method.endswith("-motion")) for row in Distilled().rows("mars")}
    found = {each.claim.text: each for each in judge(world(effects, suite=Distilled))}
    text = "coherence beats motion as the distilled part, one factor per "
    assert found[f"{text}clip"].interval.estimate == pytest.approx(0.05, abs=0.01)
    assert found[f"{text}frame"].missing.startswith("not run")


def test_families_need_equal_tuning(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    effects = {**dict.fromkeys(("mean", "qan"), 0.1), **dict.fromkeys(("lstm-changes", "cnn3d", "flow"), 0.0)}
    others = {name: 0.1 - effect for name, effect in effects.items()}
    untuned = world(effects, suite=SUITES.get("families"))
    tuned = world(others, suite=SUITES.get("families"), changes=("tuning_trials=20", "lr=1e-3"))
    half = [run for run in tuned if run.experiment.method != "cnn3d"]

    def said(found):
        return next(each for each in judge(found) if each.claim.text == "mean beats cnn3d")

    for found in (untuned, untuned + half, half + untuned):
        assert said(found).verdict == "UNDECIDED"
        assert "not tuned alike" in said(found).missing
    more = world(effects, seeds=5, suite=SUITES.get("families"))  # of which two seeds were never tuned
    longer = world(effects, suite=SUITES.get("families"), changes=("tuning_trials=40",))
    again = [run for run in longer if run.experiment.method == "mean"]  # by more trials, and it alone
    for found in (tuned, untuned + tuned, tuned + untuned, more + tuned, tuned + again):
        assert said(found).verdict == "CONTRADICTED"
        assert said(found).interval.estimate == pytest.approx(-0.1, abs=0.02)


def test_too_few_trials_decide_nothing(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    effects = {**dict.fromkeys(("mean", "qan"), 0.1), **dict.fromkeys(("lstm-changes", "cnn3d", "flow"), 0.0)}

    def said(trials):
        found = world(effects, suite=SUITES.get("families"), changes=(f"tuning_trials={trials}",))
        return next(each for each in judge(found) if each.claim.text == "mean beats cnn3d")

    assert (said(19).verdict, said(20).verdict) == ("UNDECIDED", "SUPPORTED")
    assert said(19).missing.endswith("at least 20")


def test_every_reason_is_given(world, monkeypatch):
    monkeypatch.setattr(controls, "problems", lambda *_: "cnn3d fails")
    effects = dict.fromkeys(("mean", "qan", "lstm-changes", "cnn3d", "flow"), 0.0)
    found = judge(world(effects, seeds=1, suite=SUITES.get("families")))
    assert next(each for each in found if each.claim.text == "mean beats cnn3d").reasons == (
        "1 seed cannot show how much seeds vary; at least 3 are needed",
        "controls: cnn3d fails",
        "not tuned alike: `bench tune` each method with the same --trials, at least 20",
    )


def test_motion_needs_controls_by_its_own_settings(world, monkeypatch):
    asked = []
    monkeypatch.setattr(controls, "problems", lambda records, judged: asked.append(judged) or "cnn3d fails")
    changes = ("tuning_trials=20", "lr=1e-3", "sampling=consecutive")
    found = judge(
        world(
            dict.fromkeys(("mean", "qan", "lstm-changes", "cnn3d", "flow"), 0.0),
            suite=SUITES.get("families"),
            changes=changes,
        )
    )
    claim = next(each for each in found if each.claim.text == "mean beats cnn3d")
    assert claim.missing == "controls: cnn3d fails"
    assert [sorted(each) for each in asked] == [["lstm-changes", "mean"], ["cnn3d", "mean"], ["flow", "mean"]]
    assert {each["mean"]["sampling"] for each in asked} == {"consecutive"}


def test_new_seeds_are_judged_alone(world, monkeypatch):
    """Four seeds that say the opposite of the three before them; the controls ran with seed 0."""
    seen = []
    monkeypatch.setattr(
        controls, "problems", lambda records, _: seen.extend(each.experiment.seed for each in records) or ""
    )
    options = {"suite": SUITES.get("families"), "changes": ("tuning_trials=20",)}
    others = dict.fromkeys(("mean", "qan", "lstm-changes", "flow"), 0.0)
    runs = world({**others, "cnn3d": 0.1}, seeds=3, **options)
    runs += world({**others, "cnn3d": -0.1}, seeds=4, first_seed=3, **options)

    def of_cnn3d(first_seed):
        found = judge(verdict.seeds_from(first_seed, runs), controls_among=runs)
        return next(each for each in found if each.claim.text == "mean beats cnn3d")

    assert (of_cnn3d(3).runs, of_cnn3d(3).verdict) == (4, "SUPPORTED")
    assert (of_cnn3d(0).runs, of_cnn3d(0).verdict) == (7, "UNDECIDED")
    assert set(seen) == set(range(7))
    assert len(set(map(seen.count, range(7)))) == 1  # none counts twice


def test_noise_floor_is_printed_with_the_table(world):
    class Floor(Suite):
        """Two rows that noise does not tell apart, and one that it does."""

        def rows(self, dataset):
            return [
                Row("pooled 0.0", "mean"),
                *(
                    Row(
                        f"{classification} {sigma}",
                        "mean+afa",
                        (f"classification={classification}", f"sigma={sigma}", "lambda=0.0"),
                    )
                    for classification, sigma in (("pooled", 0.5), ("consensus", 0.0))
                ),
            ]

    found = world({"pooled 0.0": 0.0, "pooled 0.5": 0.0, "consensus 0.0": 0.0}, suite=Floor)
    figures = {("pooled", 0.0): 0.5, ("pooled", 0.5): 0.52, ("consensus", 0.0): 0.9}
    records = []
    for run in found:
        settings = run.experiment.settings
        figure = (
            figures[settings["classification"], settings["sigma"]]
            + 0.01 * (settings["sigma"] > 0) * run.experiment.seed
        )
        records.append(replace(run.record, metrics=[Metrics("official", "before", figure, figure, 1, 1, 1, 9, 0)]))
    notes = [note for grid in grids(judge(found), records) for note in grid.notes if note.startswith("noise floor")]
    assert notes  # means differ by 2 + (0 + 1 + 2) / 3 points, the runs of seed 2 by 4
    assert "two rows" in notes[0]
    assert "up to 3.0 points of mAP and 3.0 points of R1 apart; single runs of one seed 4.0" in notes[0]

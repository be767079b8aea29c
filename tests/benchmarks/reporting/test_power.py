"""How many seeds a claim needs, planned from runs whose spread is known."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from benchmarks.reporting import power
from benchmarks.reporting.power import MEASURED, fewest_queries, noise, plan_claims
from benchmarks.reporting.sample_size import seeds_needed
from benchmarks.reporting.verdict import judge
from benchmarks.runs import staleness
from benchmarks.runs.finished import runs_in_file
from benchmarks.runs.record import Metrics
from benchmarks.suites import SUITES
from benchmarks.suites.claims import CLAIMS, HYPOTHESIS, PAPER, UNCORRECTED, claims_about, family_size
from benchmarks.suites.suite import Choice, experiments


@pytest.fixture
def pilot(make_record, monkeypatch):
    """Records of a suite: noise of 1 point by seed that one baseline's rows share, and of 0.5 points that they do not."""
    monkeypatch.setattr(power, "measured_records", list)

    def make(suite, seeds, dataset="mars"):
        draw, shared, made = np.random.default_rng(4), {}, []
        for each in experiments(SUITES.get(suite)(), Choice((dataset,), seeds=seeds)):
            baseline = each.experiment.method.partition("+")[0]
            common = shared.setdefault((baseline, each.experiment.seed), draw.normal(0, 0.01))
            figure = 0.5 + common + draw.normal(0, 0.005)
            metrics = [Metrics("official", "before", figure, figure, 1.0, 1.0, 1.0, 100, 0)]
            made.append(make_record(experiment=each.experiment, metrics=metrics))
        return made

    return make


def planned(suite, records, effect=0.01, dataset="mars", seconds_of=lambda runs: [60.0] * len(runs)):
    experiments_of_suite = list(experiments(SUITES.get(suite)(), Choice((dataset,), seeds=1)))
    return {each.claim.text: each for each in plan_claims(suite, experiments_of_suite, records, effect, seconds_of)}


def test_noise_that_rows_share_is_told_from_what_they_do_not(pilot):
    found = noise(pilot("table4", 60))
    assert math.sqrt(found.own[0]) == pytest.approx(math.hypot(0.01, 0.005), rel=0.1)
    assert math.sqrt(found.paired[0]) == pytest.approx(0.005, rel=0.1)
    # Six rows of 60 seeds: four of mean and two of qan.
    assert (found.own[1], found.paired[1]) == (6 * 59, (3 + 1) * 59)


def test_table4_runs_as_many_seeds_as_planned():
    """As planned from the records of this repository, to find an effect of one point of mAP on `walkers` with --quick."""
    suite, choice = SUITES.get("table4")(), Choice(("walkers",), seeds=1, quick=True)
    plans = list(plan_claims("table4", list(experiments(suite, choice)), [], 0.01, lambda runs: [None] * len(runs)))
    assert all("runs of this claim" in plan.source for plan in plans)
    assert 10 < max(plan.seeds for plan in plans) <= suite.repetitions


def test_suites_of_fixed_claims_run_more_than_others():
    fixed = {claim.suite for claim in CLAIMS if claim.family not in UNCORRECTED}
    assert "table4" in fixed
    repetitions = {name: SUITES.get(name)().repetitions for name in SUITES.names()}
    assert {repetitions[name] for name in fixed} == {repetitions["table4"]}
    assert {name for name, count in repetitions.items() if count == repetitions["table4"]} == fixed


def test_one_baseline_is_planned_by_what_its_rows_do_not_share(pilot):
    plan = planned("table4", pilot("table4", 60))["AFA helps mean"]
    assert plan.deviation == pytest.approx(0.005 * math.sqrt(2), rel=0.1)
    # Normal: (2.498 + 0.842)² x 2 x 0.5² / 1² = 5.6 at p < 0.05 / 4; Student's t of so few takes some more.
    assert 6 < plan.seeds < 12
    assert (plan.runs, plan.seconds) == (2 * plan.seeds, 2 * plan.seeds * 60.0)
    assert "pilot" in plan.source
    assert plan.paper == pytest.approx(0.028)  # the paper, Table 4 on MARS: 82.9 less 80.1


def test_claim_on_rank_1_is_planned_by_the_noise_of_rank_1(pilot, monkeypatch):
    records = [
        replace(each, metrics=[replace(row, R1=0.5 + 2 * (row.mAP - 0.5)) for row in each.metrics])
        for each in pilot("table4", 60)
    ]
    claims = [replace(claim, metric="R1") for claim in claims_about("mars", "mars")]
    monkeypatch.setattr(power, "claims_about", lambda *_: claims)
    assert planned("table4", records)["AFA helps mean"].deviation == pytest.approx(0.01 * math.sqrt(2), rel=0.1)


def test_two_baselines_take_more(pilot):
    plan = planned("families", pilot("families", 60))["mean beats cnn3d"]
    assert plan.deviation == pytest.approx(math.hypot(0.01, 0.005) * math.sqrt(2), rel=0.15)


def test_claim_whose_arms_ran_together_is_planned_by_their_own_sums(pilot):
    """There is one weighted sum for each seed; they vary as far as the errors of the arms do not cancel."""
    records = pilot("table4", 5)
    plain, afa = (
        [
            each.metrics[0].mAP
            for each in records
            if each.experiment.method == method and each.experiment.settings[key] == value
        ]
        for method, key, value in (("mean", "classification", "pooled"), ("mean+afa", "lambda", 0.1))
    )
    plan = planned("table4", records)["AFA helps mean"]
    assert plan.deviation == pytest.approx(np.std(np.subtract(afa, plain), ddof=1))
    assert plan.source == "pilot, runs of this claim, 4 df"


def test_plan_and_verdict_agree_on_the_records_of_a_suite():
    """If the true effect is the measured one, both ask for the same number of seeds."""
    runs = runs_in_file(MEASURED / "distill.parquet")
    judged = [each for each in judge(runs, dataset="walkers") if each.claim.suite == "distill" and each.needed]
    assert judged
    for each in judged:
        plan = planned("distill", [run.record for run in runs], each.interval.estimate, "walkers")[each.claim.text]
        assert (plan.seeds, plan.deviation) == (each.needed, pytest.approx(math.sqrt(sum(each.variances))))


@pytest.mark.parametrize(("seeds", "source"), [(10, None), (11, "mean")])
def test_baseline_with_few_degrees_of_freedom_is_planned_by_all(make_record, monkeypatch, seeds, source):
    """Without runs of cnn3d; those of `mean`, which varies less than qan, suffice from 10 degrees of freedom on."""
    monkeypatch.setattr(power, "measured_records", list)
    draw = np.random.default_rng(2)
    records = [
        each
        for method, deviation in (("mean", 0.01), ("qan", 0.03))
        for each in recorded(make_record, method, draw.normal(0.5, deviation, seeds).tolist(), dataset="mars")
    ]
    rows = {
        name: np.var([each.metrics[0].mAP for each in records if name in (None, each.experiment.method)], ddof=1)
        for name in ("mean", "qan")
    }
    rows[None] = (rows["mean"] + rows["qan"]) / 2
    plan = planned("families", records)["mean beats cnn3d"]
    assert plan.deviation == pytest.approx(math.sqrt(rows[source] + rows[None]))


def test_without_a_pilot_the_repository_tells(pilot, monkeypatch):
    records = pilot("table4", 3)
    monkeypatch.setattr(power, "measured_records", lambda: records)
    assert planned("table4", [])["AFA helps mean"].source.startswith("results/measured")


def test_unknown_noise_plans_nothing(pilot):
    for records in ([], pilot("table4", 1)):
        plan = planned("table4", records)["AFA helps mean"]
        assert (plan.seeds, plan.runs, plan.seconds) == (None, 0, None)
        assert math.isnan(plan.deviation)
        assert (plan.datasets, plan.paper) == (("mars", "mars"), pytest.approx(0.028))
        assert "unknown" in plan.source


def test_effect_that_no_number_of_seeds_shows_plans_no_runs(pilot):
    plan = planned("table4", pilot("table4", 60), effect=1e-6)["AFA helps mean"]
    assert (plan.seeds, plan.runs, plan.seconds) == (None, 0, None)


def test_part_of_a_suite_is_planned(pilot):
    records = pilot("table4", 60)
    chosen = Choice(("mars",), seeds=1)
    for methods, arms in ((("mean+afa",), 1), (("qan",), 0)):
        part = [each for each in experiments(SUITES.get("table4")(), chosen) if each.experiment.method in methods]
        plans = {
            each.claim.text: each
            for each in plan_claims("table4", part, records, 0.01, lambda runs: [60.0] * len(runs))
        }
        plan = plans["AFA helps mean"]
        assert plan.runs == arms * plan.seeds


def test_noise_of_other_data_plans_nothing(pilot):
    plan = planned("table4", pilot("table4", 3, "walkers"), dataset="mars")["AFA helps mean"]
    assert plan.source.startswith("unknown")


def test_rank_1_is_planned_by_the_noise_of_other_baselines_where_its_own_is_unknown(make_record, monkeypatch):
    monkeypatch.setattr(power, "measured_records", list)
    (claim,) = [each for each in claims_about("mars", "mars") if each.text == "AFA helps mean"]
    figures = [(0.5, 0.1), (0.5, 0.3), (0.5, 0.5)]  # mAP is always the same, R1 is not
    records = [
        make_record(
            method,
            dataset="mars",
            seed=seed,
            metrics=[Metrics("official", "before", mean, rank * factor, 1, 1, 1, 9, 0)],
        )
        for method, factor in (("qan", 1), ("qan+afa", 2))
        for seed, (mean, rank) in enumerate(figures)
    ]
    monkeypatch.setattr(power, "claims_about", lambda *_: [replace(claim, metric="R1")])
    # Rows 0.1 0.3 0.5 and 0.2 0.6 1.0: less what they share, -+0.1 0 +-0.1 a row, with 2 degrees of freedom.
    plan = planned("table4", records)["AFA helps mean"]
    assert plan.deviation == pytest.approx(math.sqrt(2 * 0.04 / 2))


def test_runs_without_the_protocol_have_no_noise(make_record):
    after = Metrics("official", "after", 0.5, 0.5, 1, 1, 1, 9, 0)
    assert noise([make_record("mean", seed=seed, metrics=[after]) for seed in (0, 1)]).own == (0, 0)


def test_splits_multiply_runs(pilot):
    plan = planned("table4", pilot("table4", 3, "ilidsvid"), 0.005, "ilidsvid")["AFA helps mean"]
    assert plan.runs == 2 * 10 * plan.seeds


def test_plan_says_seeds_runs_and_time(bench):
    answer = bench("plan", "table4", "--dataset", "walkers", "--quick", "--seeds", 1, "--effect", 2)
    assert answer.status == 0, answer.err
    assert "To find a true effect of 2 points of mAP in 4 of 5 repetitions" in answer.out
    (line,) = [line for line in answer.out.splitlines() if "AFA helps mean " in line]
    assert "results/measured" in line


def test_seeds_of_a_pilot_plan_those_that_follow(bench, finish, monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda _: "c" * 64)  # of these records: they are current
    for seed in range(3):
        finish("mean", seed=seed)
        finish("mean+afa", seed=seed, ranks=[1, 2, 3, 4 + seed])
    said = bench("plan", "table4", "--dataset", "walkers", "--first-seed", 3, "--seeds", 2).out
    assert "12 experiments, 0 done" in said
    (line,) = [line for line in said.splitlines() if "AFA helps mean " in line]
    assert "pilot, " in line


def test_times_are_of_committed_runs_if_none_like_them_has_finished_here(bench):
    said = bench("plan", "table4", "--dataset", "walkers", "--quick", "--seeds", 1).out
    assert re.search(
        r"^6 experiments, 0 done, 6 to run: about \d+ \w+ one after the other, by recorded frames/s$", said, re.M
    )
    assert "no similar run has finished here yet; times are by the runs in results/measured (" in said


def recorded(make_record, method, figures, **changes):
    """A record for each seed from 0, with this mAP; R1 is 1 less the mAP. None: no query had a match."""
    return [
        make_record(
            method,
            seed=seed,
            metrics=[Metrics("official", "before", figure, None if figure is None else 1 - figure, 1, 1, 1, 9, 0)],
            **changes,
        )
        for seed, figure in enumerate(figures)
    ]


def test_noise_by_hand(make_record):
    """Deviations by row: -0.1 0 0.1 and -0.2 -0.1 0.3; less what both share: twice ±0.05, and ±0.1."""
    rows = [
        *recorded(make_record, "mean", [0.1, 0.2, 0.3]),
        *recorded(make_record, "mean+afa", [0.2, 0.3, 0.7], sigma=0.5),
    ]
    expected = ((pytest.approx(0.16 / 4), 4), (pytest.approx(0.03 / 2), 2))
    for name, metric in ((None, "mAP"), ("mean", "mAP"), ("mean", "R1")):
        found = noise(rows, name, metric)
        assert (found.own, found.paired) == expected
    assert noise(rows, "qan").own == noise([]).paired == (0, 0)
    # Another baseline, other settings, other seeds, and runs without a figure share nothing with these rows.
    for method, figures, changes in (
        ("qan", [0.1, 0.5], {}),
        ("mean", [0.1, 0.5], {"epochs": 9}),
        ("mean+afa", [0.1, 0.5], {"sigma": 0.1}),
        ("mean", [None, 0.1, 0.5], {"sigma": 0.1}),
    ):
        found = noise([*rows, *recorded(make_record, method, figures, **changes)])
        assert (found.own, found.paired) == ((pytest.approx((0.16 + 0.08) / 5), 5), expected[1])


def test_time_is_known_only_if_that_of_all_arms_is(pilot):
    records = pilot("table4", 60)
    plan, unknown = (
        planned("table4", records, seconds_of=lambda runs, times=times: times)["AFA helps mean"]
        for times in ([60.0, 30.0], [60.0, None])
    )
    assert (plan.runs, plan.seconds) == (2 * plan.seeds, 90 * plan.seeds)
    assert (unknown.runs, unknown.seconds) == (plan.runs, None)


def test_source_of_the_noise_is_named(pilot, make_record):
    records = pilot("table4", 60)
    assert planned("table4", records)["AFA helps mean"].source == "pilot, runs of this claim, 59 df"
    plain = [each for each in records if each.experiment.method == "mean"]
    assert planned("table4", plain)["AFA helps mean"].source == "pilot, similar rows, 59 df"
    longer = [
        make_record(
            experiment=replace(each.experiment, settings={**each.experiment.settings, "epochs": 7}),
            metrics=each.metrics,
        )
        for each in records[:200]
    ]
    assert planned("table4", longer)["AFA helps mean"].source.startswith("pilot, other settings, ")
    lone = [each for each in records if each.experiment.method == "qan"]
    assert planned("table4", lone)["AFA helps mean"].source.startswith("unknown: no two seeds of a method")


@pytest.mark.parametrize(
    ("suite", "claim", "baselines"), [("table4", "AFA helps mean", 1), ("families", "mean beats flow", 2)]
)
def test_unknown_noise_leaves_seeds_for_some_deviations(pilot, suite, claim, baselines):
    """Student's t with S - 1 degrees of freedom, or Welch's of two equal variances with 2 (S - 1); by the noncentral t."""
    level = 0.05 / family_size(HYPOTHESIS if suite == "families" else PAPER, "mars", "mars") / 2
    enough = []
    for deviation in (0.5, 1, 2):
        seeds, reached = 2, 0.0
        while reached < 0.8:
            seeds += 1
            df = baselines * (seeds - 1)
            reached = scipy.stats.nct.sf(scipy.stats.t.isf(level, df), df, seeds**0.5 / deviation)
        enough.append(seeds)
    plan = planned(suite, [])[claim]
    assert (plan.seeds, plan.seeds_if) == (None, tuple(enough))


def test_unknown_noise_is_noted_once(bench):
    said = bench("plan", "table4", "--dataset", "mars", "--seeds", 1, "--effect", 0.02).out
    assert said.count("where the deviation is unknown, the seeds by deviation would be 0.5: more than 1,000, ") == 1
    assert "None" not in said


def test_one_seed_on_each_split_plans_nothing(pilot):
    (plan,) = {each.seeds for each in planned("table4", pilot("table4", 1, "ilidsvid"), dataset="ilidsvid").values()}
    assert plan is None


def test_claims_of_other_suites_are_planned_where_all_their_arms_run(pilot):
    found = planned("cues", pilot("cues", 3, "cues:50"), dataset="cues:50")
    assert {"AFA helps mean", "mean beats cnn3d", "mean beats flow"} <= set(found)
    assert "AFA helps qan" not in planned("factors", pilot("factors", 3))


def test_only_claims_of_the_suite_are_planned(pilot):
    texts = {claim.text for claim in claims_about("mars", "mars") if claim.suite == "table4"}
    assert set(planned("table4", pilot("table4", 3))) == texts


def test_fewest_queries_by_hand(make_record):
    suite = SUITES.get("table4")()
    (line,) = fewest_queries(suite, Choice(("mars",)), [])
    assert line == (
        "mars: 1,980 queries; two checkpoints differ in R1 (p < 0.05) when one wins at least 6 queries of 6 people and loses "
        "none: 0.30 points of R1"
    )
    assert list(fewest_queries(suite, Choice(("walkers",)), [])) == []
    rows = [Metrics("official", "before", 0.5, 0.5, 1.0, 1.0, 1.0, count, 0) for count in (700, 1200)]
    records = [make_record("mean", name, metrics=[row]) for name, row in zip(("walkers", "mars"), rows, strict=True)]
    lines = list(fewest_queries(suite, Choice(("mars", "walkers")), records))
    assert [line.split(" queries")[0] for line in lines] == ["mars: 1,200", "walkers: 700"]
    assert lines[0].endswith(": 0.50 points of R1")


def test_noise_of_two_runs_with_settings_in_any_order(make_record):
    rows = recorded(make_record, "mean", [0.1, 0.3], lr=1, decay=2)
    assert noise(rows).own == (pytest.approx(0.02), 1)
    rows += recorded(make_record, "mean+afa", [0.1, 0.3], sigma=0.5, decay=2, lr=1)
    assert noise(rows).paired == (0, 1)


def test_splits_need_fewer_seeds(pilot):
    plan = planned("table4", pilot("table4", 3, "ilidsvid"), 0.002, "ilidsvid")["AFA helps mean"]
    alpha = 0.05 / family_size(PAPER, "ilidsvid", "ilidsvid")
    assert plan.seeds == seeds_needed(0.002, (plan.deviation**2,), alpha, splits=10, df=20)
    assert plan.seeds < seeds_needed(0.002, (plan.deviation**2,), alpha, df=20)

"""The verdict's own controls, from committed records: nothing is decided if nothing differs, and planted effects are found.

Runs are drawn from the recorded results: seeds with replacement; with several splits, within each split.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from benchmarks.data.find import find_dataset
from benchmarks.experiments.methods import baseline
from benchmarks.reporting import power, verdict
from benchmarks.reporting.pairing import fits
from benchmarks.reporting.power import measured_records, plan_claims
from benchmarks.reporting.sample_size import seeds_needed
from benchmarks.reporting.statistics import over_seeds
from benchmarks.reporting.verdict import judge
from benchmarks.runs.exchange import exported_records
from benchmarks.runs.record import Metrics
from benchmarks.suites import SUITES, controls
from benchmarks.suites.claims import ALPHA, CLAIMS, family_size
from benchmarks.suites.suite import Choice, experiments

CHECKS = power.MEASURED / "verdict-checks"
PILOTS, PILOT = 200, 5  # how many pilots, and the seeds of each; with several splits, two seeds


@pytest.fixture(scope="module")
def repeats():
    """(J, S) mAP by split and seed, of every committed method with at least ten runs on one machine."""
    rows = {}
    for record in (
        *measured_records(),
        *(each for file in sorted(CHECKS.glob("*.parquet")) for each in exported_records(file)),
    ):
        experiment, figures = record.experiment, record.find_metrics(record.first_protocol, "before")
        if figures is not None and not experiment.external:
            settings = str(sorted(experiment.settings.items()))
            key = (experiment.datasets, experiment.method, settings, record.environment.processor)
            rows.setdefault(key, {})[experiment.split, experiment.seed] = figures.mAP
    return {
        key: np.array([each[run] for run in sorted(each)]).reshape(len({split for split, _ in each}), -1)
        for key, each in rows.items()
        if len(each) >= 10
    }


def compared(repeats, *, one_baseline, splits):
    """Pairs of methods on the same data and splits, by the seeds that both have, that do not always have the same result."""
    pairs = []
    for one, other in combinations(repeats, 2):
        seeds = min(repeats[one].shape[1], repeats[other].shape[1])
        pair = repeats[one][:, :seeds], repeats[other][:, :seeds]
        if (
            one[0] == other[0]
            and (baseline(one[1]) == baseline(other[1])) == one_baseline
            and len(pair[0]) == len(pair[1])
            and (len(pair[0]) > 1) == splits
            and np.ptp(pair[0] - pair[1], axis=1).all()
        ):
            pairs.append(pair)
    return pairs


def test_nothing_is_decided_where_nothing_differs(repeats):
    """The seeds of a method are compared in two halves; with several splits, the two seeds of each split.

    The rate is over all methods and worlds: five splits of two seeds have 32 arrangements, of which 2 agree in sign and are
    always decided.
    """
    draw = np.random.default_rng(0)
    assert {datasets.tested_on for datasets, *_ in repeats} >= set(SUITES.get("repeats").datasets)
    decided = []
    for figures in repeats.values():
        for _ in range(100):
            one, other = np.split(draw.permuted(figures[:, : figures.shape[1] // 2 * 2], axis=1), 2, axis=1)
            decided.append(over_seeds([one - other] if len(figures) > 1 else [one, -other]).p < 0.05)
    assert np.mean(decided) <= 0.05


@pytest.fixture
def studied(make_record, with_precisions, monkeypatch):
    """`studied(text, dataset, pairs, strength, changes)`: the share of studies, planned from pilots, that support a claim.

    The effect, `strength` in standard deviations of the difference over seeds, is added to the results of one of a random pair of
    methods. Each pilot plans four studies. Some of them are judged in full, the others by their seeds alone, at Holm's strictest
    level.
    """
    monkeypatch.setattr(power, "measured_records", list)
    monkeypatch.setattr(controls, "problems", lambda *_: "")
    monkeypatch.setattr(verdict, "margin", lambda: 0.0)  # no effect is negligible

    def share(text, dataset, pairs, strength, changes=()):
        draw, found = np.random.default_rng(0), []
        (claim,) = [each for each in CLAIMS if each.text == text]
        monkeypatch.setattr(power, "claims_about", lambda *_: [claim])
        planned = list(experiments(SUITES.get(claim.suite)(), Choice((dataset,), seeds=1, changes=changes)))
        arms = [next(each.experiment for each in planned if fits(arm, claim, each.experiment)) for arm in claim.arms]
        paired = len({baseline(arm.method) for arm in arms}) == 1
        splits, level = find_dataset(dataset).splits, ALPHA / family_size(claim.family, dataset, dataset)

        def figures(seeds):
            """(2, J, S) of the better arm and of the worse."""
            picked = draw.integers(pair[0].shape[1], size=(2, splits, seeds))
            picked = picked[[0, 0]] if paired else picked
            rows = np.arange(splits) % len(pair[0])
            drawn = [
                (each - each.mean(axis=1, keepdims=True))[rows[:, None], at]
                for each, at in zip(pair, picked, strict=True)
            ]
            return 0.5 + np.array([drawn[0] + effect, drawn[1]])

        def runs(drawn):
            for (number, split, seed), figure in np.ndenumerate(drawn):
                yield replace(arms[number], split=split, test_split=split, seed=seed), figure

        for number in range(PILOTS):
            pair = pairs[draw.integers(len(pairs))]
            variances = [pair[0] - pair[1]] if paired else pair
            effect = strength * np.sqrt(sum(each.var(axis=1).mean() for each in variances))
            pilot = [
                make_record(experiment=each, metrics=[Metrics("official", "before", figure, 1.0, 1.0, 1.0, 1.0, 9, 0)])
                for each, figure in runs(figures(max(PILOT // splits, 2)))
            ]
            (plan,) = plan_claims(claim.suite, planned, pilot, effect, lambda each: [None] * len(each))
            for study in range(4):
                drawn = figures(plan.seeds)
                result = over_seeds([drawn[0] - drawn[1]] if paired else [drawn[0], -drawn[1]])
                found.append(result.p < level and result.estimate > 0)
                if (number % 100, study) == (0, 0):
                    people = np.array([-0.1, 0.0, 0.1])
                    whole = [with_precisions(each, np.arange(3), figure + people) for each, figure in runs(drawn)]
                    (judged,) = [each for each in judge(whole) if each.claim == claim]
                    assert (judged.verdict == "SUPPORTED") == found[-1]
        return np.mean(found)

    return share


def test_planted_effects_within_a_baseline_are_found_at_the_planned_rate(repeats, studied):
    pairs = compared(repeats, one_baseline=True, splits=False)
    assert len(pairs) >= 4
    assert 0.76 <= studied("AFA helps mean", "mars", pairs, 0.8) <= 0.84


def test_planted_effects_between_baselines_are_found_at_the_planned_rate(repeats, studied):
    pairs = compared(repeats, one_baseline=False, splits=False)
    assert len(pairs) >= 100
    assert 0.76 <= studied("mean beats cnn3d", "mars", pairs, 0.8, ("tuning_trials=20",)) <= 0.84


def test_planted_effects_over_splits_are_found_at_the_planned_rate(repeats, studied):
    pairs = compared(repeats, one_baseline=True, splits=True)
    assert pairs
    assert 0.76 <= studied("AFA helps mean", "ilidsvid", pairs, 0.25) <= 0.84


def test_a_method_made_worse_is_found_at_the_planned_rate():
    """`mean` as it is and with half the learning rate: what it loses over all seeds is the effect, and studies draw from them."""
    by_rate = {}
    for record in exported_records(CHECKS / "weakened.parquet"):
        by_rate.setdefault(record.experiment.settings["lr"], {})[record.experiment.seed] = record.metrics[0].mAP
    half, usual = (by_rate[rate] for rate in sorted(by_rate))
    lost = np.array([usual[seed] - half[seed] for seed in sorted(usual)])
    assert len(lost) == 40
    needed = seeds_needed(lost.mean(), [lost.var()], ALPHA)
    draw = np.random.default_rng(0)
    studies = [over_seeds([lost[draw.integers(len(lost), size=needed)]]) for _ in range(2000)]
    assert 0.76 <= np.mean([each.p < ALPHA and each.estimate > 0 for each in studies]) <= 0.84

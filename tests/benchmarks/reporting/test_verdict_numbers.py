"""The numbers behind a verdict, each computed a second way."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.experiments.experiment import DatasetPair
from benchmarks.reporting import verdict
from benchmarks.reporting.sample_size import MOST_SEEDS, power_of, seeds_needed
from benchmarks.reporting.statistics import difference
from benchmarks.reporting.verdict import judge
from benchmarks.suites.claims import ALPHA, EXPLORATORY, SIGMAS
from benchmarks.suites.suite import Row, Suite

EFFECTS = {"a": 0.0, "b": 0.06, "c": 0.0}


def first_claim(found):
    """`AFA helps mean`, judged: the runs of b less those of a."""
    return next(each for each in judge(found) if each.claim.text == "AFA helps mean")


def precisions(found):
    """(S, Q) of mean+afa and of mean, and the people of the queries."""
    sides = [[run for run in found if run.experiment.method == method] for method in ("mean+afa", "mean")]
    sides[0] = [run for run in sides[0] if run.experiment.settings["lambda"] > 0]
    rows = [np.stack([run.rows.average_precision for run in side]) for side in sides]
    return *rows, found[0].rows.pid.to_numpy()


def test_interval_over_people_of_seeds(world):
    found = world(EFFECTS)
    above, below, pids = precisions(found)
    assert first_claim(found).people == difference(above, below, pids, "methods")


def test_interval_over_people_of_splits(world, on_splits):
    """Each split has people of its own; their seeds are averaged first."""
    found = on_splits(world(EFFECTS, seeds=2), 3)
    pids = found[0].rows.pid.to_numpy()
    by_split = []
    for split in range(3):
        above, below, _ = precisions([run for run in found if run.experiment.split == split])
        by_split.append((above - below).mean(axis=0))
    apart = np.full((3, 3, len(pids)), np.nan)  # a query of another split has no result
    apart[range(3), range(3)] = by_split
    expected = difference(
        apart.reshape(3, -1), np.where(np.isnan(apart.reshape(3, -1)), np.nan, 0.0), np.tile(pids, 3), "methods"
    )
    people = first_claim(found).people
    assert people.question == "methods"
    assert (people.estimate, people.low, people.high) == pytest.approx((expected.estimate, expected.low, expected.high))


def test_variance_over_seeds(world):
    found = world(EFFECTS, seeds=4)
    above, below, _ = precisions(found)
    assert first_claim(found).variances == pytest.approx([np.var((above - below).mean(axis=1), ddof=1)])


def test_judged_claim_tells_how_surely_its_effect_is_negligible(world):
    helps = first_claim(world({"a": 0.0, "b": 0.0, "c": 0.0}, seeds=4))
    assert helps.p_negligible == helps.interval.p_negligible(0.003) < 1


def test_variance_over_the_seeds_of_each_split(world):
    found = world(EFFECTS, seeds=2)  # splits of other runs, so that they differ
    draw = np.random.default_rng(1)
    found = [
        replace(
            run,
            record=replace(run.record, experiment=replace(run.experiment, split=split, test_split=split)),
            rows=run.rows.assign(average_precision=run.rows.average_precision + 0.01 * draw.normal()),
        )
        for run in found
        for split in range(3)
    ]
    above, below, _ = precisions(found)
    differences = (above - below).mean(axis=1).reshape(2, 3)  # seeds, splits
    helps = first_claim(found)
    assert (helps.runs, helps.splits) == (6, 3)
    assert helps.variances == pytest.approx([differences.var(axis=0, ddof=1).mean()])
    assert helps.df == pytest.approx(3)  # one in each split
    alone = first_claim([run for run in found if run.experiment.seed == 0])
    assert alone.variances == pytest.approx([differences[0].var(ddof=1)])  # splits of one seed stand for seeds


def test_weights_of_arms_count_for_checkpoints_too(world):
    class Sweep(Suite):
        """The motion distilled, with a factor for each clip."""

        def rows(self, dataset):
            return [
                Row(str(sigma), "mean+afa-motion", (f"sigma={sigma}", "granularity=clip", "lambda=0.1"))
                for sigma in SIGMAS
            ]

    found = judge(world({str(sigma): -0.01 * np.log2(sigma) for sigma in SIGMAS}, seeds=1, suite=Sweep))
    (falls,) = (each for each in found if each.claim.text.endswith("0.025 to 1, motion distilled"))
    assert falls.interval.question == "checkpoints"
    assert falls.interval.estimate == pytest.approx(0.01 * np.log2(1 / 0.025), abs=0.015)


def test_claim_without_runs_has_the_effect_of_the_paper_and_no_more(judged):
    absent = judged(EFFECTS)["AFA helps qan"]
    assert (absent.interval, absent.p, absent.runs) == (None, 1.0, 0)
    assert absent.paper == pytest.approx(0.013)  # Table 4, MARS, mAP: 82.2 less 80.9
    assert absent.margin == pytest.approx(0.003)


def test_runs_with_other_queries_are_not_compared(world):
    found = [replace(run, rows=run.rows[2:]) if run.experiment.method == "mean" else run for run in world(EFFECTS)]
    helps = first_claim(found)
    assert (helps.claim.text, helps.datasets) == ("AFA helps mean", DatasetPair("mars", "mars"))
    assert (helps.verdict_text, helps.missing) == ("UNDECIDED", "the runs have different queries")


def test_notes_on_the_data_are_kept(world):
    found = [
        replace(run, record=replace(run.record, data_notes={"mars": "12 frames left out"})) for run in world(EFFECTS)
    ]
    assert first_claim(found).notes == ("mars: 12 frames left out",)


def undecided(judged, **changes):
    """One claim that is open, with other figures."""
    helps = replace(judged(EFFECTS)["AFA helps mean"], verdict="UNDECIDED", reasons=(), p=0.9, p_negligible=0.9)
    (found,) = verdict._decide([replace(helps, **changes)])
    return found


def test_seeds_needed_to_call_an_effect_negligible(judged):
    helps = judged(EFFECTS)["AFA helps mean"]
    none = replace(helps.interval, estimate=0.0)
    found = undecided(judged, interval=none, variances=(1e-5,), margin=0.003)  # 0 can never be told from 0
    assert power_of(0.0, (1e-5,), found.needed, 0.05, 0.003, df=2) >= 0.8  # of three seeds
    assert power_of(0.0, (1e-5,), found.needed - 1, 0.05, 0.003, df=2) < 0.8
    assert found.missing.startswith(f"about {found.needed - 3} more seeds")
    assert found.missing.endswith("true effect is 0.0")
    on_splits = undecided(judged, interval=none, variances=(1e-5,), margin=0.003, splits=3, runs=9)
    assert on_splits.needed < found.needed  # three splits show more
    enough = undecided(judged, interval=none, variances=(1e-5,), margin=0.003, runs=100)
    assert enough.missing.startswith("about 1 more seed (")


def test_seeds_that_an_exploratory_claim_takes_do_not_depend_on_the_others(judged):
    helps = judged({"a": 0.0, "b": 0.004, "c": 0.12}, seeds=4)["AFA helps mean"]
    explored = replace(helps, claim=replace(helps.claim, family=EXPLORATORY), reasons=(), p=0.5, needed=None)
    wanted = seeds_needed(helps.interval.estimate, helps.variances, ALPHA, df=3)
    for several in (1, 3):
        assert {each.needed for each in verdict._decide([explored] * several)} == {wanted}


def test_what_is_said_of_an_open_claim(judged):
    helps = judged(EFFECTS)["AFA helps mean"]
    assert helps.margin == pytest.approx(0.003)
    large = replace(helps.interval, estimate=0.06)
    assert undecided(judged, interval=large, variances=(1e-2,)).missing.endswith("if the true effect is +6.0")
    near = replace(helps.interval, estimate=0.006)
    never = undecided(judged, interval=near, variances=(1.0,), margin=0.003).missing
    assert never == f"{MOST_SEEDS} seeds would not tell the effect from 0, nor from the margin of ±0.3"

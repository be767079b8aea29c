"""`bench compare`: which runs it pairs, and the figures that it prints, against values by hand."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from baselines.interface.errors import UserError
from benchmarks.reporting.comparison import compare, grid, queries_grid, sentence
from benchmarks.runs.finished import finished_runs


def rows(table):
    return dict(table.rows)


@pytest.fixture
def found(results, finish):
    """Ten people with two queries each, and three seeds: one person's first query is at rank 2 for the worse method."""
    for seed in range(3):
        finish("mean", seed, ranks=[2.0, *[1.0] * 17, 1.0, 4.0])
        finish("qan", seed, ranks=[1.0] * 19 + [8.0])
    return finished_runs(results)


def test_figures_equal_a_case_worked_by_hand(found):
    (compared,) = compare("qan", "mean", found)
    # Two queries differ: one by 1 - 1/2, one by 1/8 - 1/4; of 20 queries that is a difference of 0.375 / 20.
    figures = rows(grid(compared))
    assert figures["difference"] == "+1.9"
    assert figures["mAP of qan"] == f"{100 * (19 + 1 / 8) / 20:.1f}"
    assert figures["people for whom qan is better"] == "1 of 10"
    assert figures["people for whom mean is better"] == "1 of 10"
    assert figures["queries for which qan is better"] == "1 of 20"
    differing = queries_grid(compared).rows
    assert differing[0] == ["q000", "+50.0"]
    assert ["q019", "-12.5"] in differing


def test_zero_has_no_sign(results, finish):
    for seed in range(3):
        finish("mean", seed, ranks=[2000.0, *[1.0] * 19])
        finish("qan", seed, ranks=[2001.0, *[1.0] * 19])
    (compared,) = compare("qan", "mean", finished_runs(results))
    assert compared.effect.interval.estimate < 0
    assert rows(grid(compared))["difference"] == "0.0"
    assert rows(grid(compared))["95% interval"] == "0.0 to 0.0"
    assert ["q000", "0.0"] in queries_grid(compared).rows


def test_sentence_names_both_sides_and_the_question(found):
    (compared,) = compare("mean", "qan", found)
    text = sentence(compared)
    assert text.startswith("On walkers, mean is 1.9 points of mAP below qan")
    assert "3 runs of each" in text  # two baselines: seeds do not pair them
    assert "over other seeds" in text


def test_runs_of_one_baseline_are_paired(results, finish):
    for seed, name in product(range(3), ("qan", "qan+afa")):
        finish(name, seed, ranks=[1.0 + (name == "qan") * seed, *[1.0] * 19])
    (compared,) = compare("qan+afa", "qan", finished_runs(results))
    assert "3 paired runs of each" in sentence(compared)


def test_one_seed_on_each_split_speaks_of_splits(found, on_splits):
    (compared,) = compare("mean", "qan", on_splits([run for run in found if run.experiment.seed == 0], 3))
    assert "over other splits" in sentence(compared)


def test_queries_that_differ_most_are_named_with_their_splits(found, on_splits):
    (compared,) = compare("qan", "mean", on_splits([run for run in found if run.experiment.seed == 0], 3))
    by_split = compared.most_different_by_split()
    assert {split: queries[0] for split, queries in by_split.items()} == {2: "q000", 1: "q000", 0: "q000"}
    assert ["q000 (split 1)", "+50.0"] in queries_grid(compared).rows


def test_seed_that_ran_on_a_part_of_the_splits_is_left_out(found, on_splits):
    runs = [run for run in on_splits(found, 3) if run.experiment.seed == 0 or run.experiment.split < 2]
    (compared,) = compare("mean", "qan", runs)
    assert [(run.experiment.seed, run.experiment.split) for run in compared.sides[0]] == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(("p", "printed"), [(0.0234, "p = 0.0234, "), (0.00001, "p < 0.0001, ")])
def test_sentence_gives_p_as_papers_do(found, p, printed):
    (compared,) = compare("mean", "qan", found)
    assert printed in sentence(replace(compared, effect=replace(compared.effect, p=p)))


def test_single_runs_are_compared_over_people(found, finish, results):
    names = [run.name for run in found if run.experiment.seed == 1]
    (compared,) = compare(*names, found)
    assert "not over other trainings" in sentence(compared)


def test_two_splits_speak_of_people_whatever_the_seeds(found, on_splits):
    runs = on_splits([run for run in found if run.experiment.seed < 2], 2)
    (compared,) = compare("mean", "qan", runs)
    assert "4 runs of each; the interval is over other test people" in sentence(compared)


def test_method_is_compared_as_its_recipe_has_it(results, finish):
    for seed in range(3):
        finish("mean", seed)
        finish("mean+afa", seed)
        finish("mean+afa", seed, lambda_=0.0)
    (compared,) = compare("mean+afa", "mean", finished_runs(results))
    assert {run.experiment.settings["lambda"] for run in compared.sides[0]} == {0.1}


def test_both_sides_have_the_same_other_settings(results, finish):
    for seed in range(3):
        finish("mean", seed, epochs=12)
        finish("mean", seed)
        finish("qan", seed, epochs=12)
    (compared,) = compare("mean", "qan", finished_runs(results))
    assert {run.experiment.settings["epochs"] for side in compared.sides for run in side} == {12}


def test_interval_covers_the_true_difference_between_seeds(results, finish):
    draw = np.random.default_rng(1)
    for seed in range(6):
        ranks = draw.integers(1, 12, 20).astype(float)
        finish("mean", seed, ranks=list(ranks))
        finish("qan", seed, ranks=list(np.maximum(1, ranks - 1)))
    (compared,) = compare("qan", "mean", finished_runs(results))
    interval = compared.effect.interval
    assert interval.low < interval.estimate < interval.high
    assert interval.low > 0, "every query is at least as good, in every seed"
    assert compared.effect.p < 0.05


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [("mena", "qan", "did you mean 'mean'"), ("mean", "mean", "itself"), ("walkers-", "qan", "name one")],
)
def test_what_cannot_be_compared_is_refused(found, one, other, message):
    with pytest.raises(UserError, match=message):
        compare(one, other, found)


def test_nothing_in_common_is_refused(results, finish):
    finish("mean", dataset="walkers")
    finish("qan", dataset="walkers@2")
    with pytest.raises(UserError, match="no data set on whose tracklets both were tested"):
        compare("mean", "qan", finished_runs(results))


def test_runs_without_a_common_seed_are_compared_query_by_query(results, finish):
    finish("mean", 0, ranks=[2.0] * 5 + [1.0] * 15)
    finish("qan", 1, ranks=[1.0] * 20)
    (compared,) = compare("qan", "mean", finished_runs(results))
    assert rows(grid(compared))["queries for which qan is better"] == "5 of 20"
    assert rows(grid(compared))["people for whom qan is better"] == "3 of 10"
    assert queries_grid(compared).rows[0][1] == "+50.0"


def test_splits_of_a_real_data_set_are_one_comparison(results, finish, on_splits):
    for seed in range(2):
        finish("mean", seed, dataset="ilidsvid", ranks=[2.0] * 10 + [1.0] * 10)
        finish("qan", seed, dataset="ilidsvid", ranks=[1.0] * 20)
    found = on_splits(finished_runs(results), 3)
    (compared,) = compare("qan", "mean", found)
    assert len(compared.sides[0]) == 6
    assert rows(grid(compared))["queries for which qan is better"] == "30 of 60"
    one, other = (
        next(run for run in found if (run.experiment.method, run.experiment.split) == wanted)
        for wanted in (("mean", 0), ("qan", 1))
    )
    with pytest.raises(UserError, match="no data set on whose tracklets both were tested"):
        compare(one.name, other.name, found)

"""How far apart rows lie that exact arithmetic does not tell apart."""

from dataclasses import replace

import pytest

from benchmarks.experiments.experiment import EXTERNAL
from benchmarks.reporting.noise_floor import noise_floor
from benchmarks.runs.record import Metrics


@pytest.fixture
def row(make_record):
    """Records of one row, one for each seed from `first`, with this mAP; R1 differs from 0.5 half as much."""

    def make(figures, method="mean+afa", first=0, classification="pooled", **changes):
        return [
            make_record(
                method,
                seed=first + number,
                metrics=[Metrics("official", "before", figure, 0.25 + figure / 2, 1, 1, 1, 9, 0)],
                classification=classification,
                **changes,
            )
            for number, figure in enumerate(figures)
        ]

    return make


def test_two_rows(row):
    quiet, noisy = row([0.5, 0.5, 0.5], "mean"), row([0.46, 0.52, 0.48], sigma=0.5)
    expected = (
        "noise floor: two rows that differ only in noise that the loss does not read lie up to 1.3 points of mAP and 0.7 points "
        "of R1 apart; single runs of one seed 4.0 points of mAP and 2.0 points of R1"
    )
    assert noise_floor(quiet + noisy) == noise_floor(noisy + quiet) == expected
    more = row([0.99], "mean", first=3)  # a seed that the other row lacks
    assert noise_floor(quiet + noisy + more) == expected


def test_run_without_a_match_sets_no_floor(row):
    quiet, noisy = row([0.5, 0.5], "mean"), row([0.49, 0.5], sigma=0.5)
    unmatched = replace(noisy[1].metrics[0], mAP=None, R1=None, R5=None, R10=None, R20=None, queries=0, unmatched=9)
    noisy[1] = replace(noisy[1], metrics=[unmatched])
    assert "up to 1.0 points of mAP" in noise_floor(quiet + noisy)


def test_largest_of_three_pairs(row):
    rows = [*row([0.5, 0.5]), *row([0.51, 0.53], sigma=0.5), *row([0.5, 0.5], target="motion")]
    assert noise_floor(rows) == (
        "noise floor: 3 pairs of rows that differ only in noise that the loss does not read lie up to 2.0 points of mAP and 1.0 "
        "points of R1 apart; single runs of one seed 3.0 points of mAP and 1.5 points of R1"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"classification": "consensus"},
        {"first": 5},
        {"method": "qan+afa"},
        {"epochs": 9},
        {"data": "e" * 64},
        {"code": "e" * 64},
        {"gpu": "another"},
        {"dataset": "mars"},
    ],
)
def test_rows_that_are_no_pair(row, changes):
    assert noise_floor([*row([0.5, 0.5]), *row([0.6, 0.6], sigma=0.5)]) is not None
    assert noise_floor([*row([0.5, 0.5]), *row([0.6, 0.6], **{"sigma": 0.5, **changes})]) is None


def test_runs_of_no_use(row):
    one, other = row([0.5, 0.5]), row([0.6, 0.6], sigma=0.5)
    for each in other:
        external = replace(each, experiment=replace(each.experiment, recipe=EXTERNAL))
        assert noise_floor([*one, external]) is noise_floor([*one, without_figure(each)]) is None
    assert noise_floor([without_figure(other[0]), *one, *other]) is not None


def without_figure(record):
    return replace(record, metrics=[replace(record.metrics[0], feature="after")])


def test_rows_without_noise_read_nothing(row):
    assert noise_floor([*row([0.5], classification="none"), *row([0.6], classification="none", sigma=0.5)]) is not None


def test_small_differences_and_figures_of_0(row):
    assert "0.4 points of mAP and 0.2 points of R1 apart; single runs of one seed 0.4" in noise_floor(
        [*row([0.5]), *row([0.504], sigma=0.5)]
    )
    assert "up to 2.0 points of mAP" in noise_floor([*row([0.0]), *row([0.02], sigma=0.5)])


def test_two_pairs_with_settings_in_any_order(row):
    rows = [*row([0.5], lr=1, decay=9), *row([0.6], sigma=0.5, decay=9, lr=1), *row([0.5]), *row([0.6], sigma=0.5)]
    assert noise_floor(rows).startswith("noise floor: 2 pairs of rows")


def test_rows_without_a_common_seed_hide_no_others(row):
    rows = [*row([0.9], first=7), *row([0.5, 0.5], sigma=0.5), *row([0.51, 0.53], target="motion")]
    assert "two rows that differ only in noise" in noise_floor(rows)
    assert "up to 2.0 points of mAP" in noise_floor(rows)


def test_rows_whose_loss_reads_the_noise_have_no_floor(row):
    noisy = [row([0.5, 0.5], classification="consensus", sigma=sigma) for sigma in (0.1, 0.5)]
    assert noise_floor([*noisy[0], *noisy[1]]) is None

"""The simulation by which the statistics of the verdict were chosen: what it recorded, and that a short one agrees."""

import json
import math

import numpy as np
import pytest

from benchmarks.maintenance.simulate_statistics import (
    FILE,
    SPLIT_WORLD,
    WORLDS,
    chosen,
    draw,
    simulate,
    simulate_splits,
)

CHOSEN, ALWAYS_PAIRED = "paired within a baseline (chosen)", "always paired"


@pytest.fixture(scope="module")
def recorded():
    rows = json.loads(FILE.read_text())["rows"]
    return {(row["world"], row["seeds"], row["interval"]): row for row in rows}


def test_chosen_interval_holds_the_truth_in_94_to_96_percent(recorded):
    shares = [row["these"] for (world, _, name), row in recorded.items() if name == CHOSEN and world != SPLIT_WORLD]
    assert len(shares) == 3 * len(WORLDS)
    assert all(0.94 <= share <= 0.96 for share in shares)
    # Ten splits with one seed each: the splits differ in their people too, so that it errs on the safe side.
    assert 0.94 <= recorded[SPLIT_WORLD, 3, CHOSEN]["these"] <= 0.96 <= recorded[SPLIT_WORLD, 1, CHOSEN]["these"] < 0.97


def test_no_valid_interval_has_more_power(recorded):
    names = {name for world, _, name in recorded if world != SPLIT_WORLD}
    valid = {
        name
        for name in names
        if all(
            0.94 <= row["these"] <= 0.96
            for (world, _, other), row in recorded.items()
            if other == name and world != SPLIT_WORLD
        )
    }
    assert valid == {CHOSEN, ALWAYS_PAIRED}
    for (world, seeds, name), row in recorded.items():
        if name in valid:
            assert recorded[world, seeds, CHOSEN]["power"] >= row["power"]


def test_interval_for_other_people_holds_theirs(recorded):
    for (_, _, name), row in recorded.items():
        if name.endswith("(other people too)"):
            assert 0.94 <= row["other"] <= 0.96


@pytest.mark.parametrize("world", WORLDS[3:5], ids=lambda world: world.name)
def test_short_simulation_agrees_with_the_record(recorded, world):
    for row in simulate(world, 5, 150, np.random.default_rng(2)):
        expected = recorded[world.name, 5, row["interval"]]
        for key in ("these", "other", "power"):
            spread = math.sqrt(max(expected[key] * (1 - expected[key]), 0.01) / 150)
            assert row[key] == pytest.approx(expected[key], abs=4 * spread)


def test_short_simulation_of_splits_agrees(recorded):
    for row in simulate_splits(1, 60, np.random.default_rng(2)):
        expected = recorded[SPLIT_WORLD, 1, row["interval"]]["power"]
        assert row["power"] == pytest.approx(expected, abs=4 * math.sqrt(max(expected * (1 - expected), 0.02) / 60))


def test_drawn_seeds_correlate_as_the_world_says():
    (world,) = (each for each in WORLDS if each.correlation == 0.9)
    drawn, here = draw(world, 4000, 1.0, np.random.default_rng(3))
    # The noise of a seed on a person adds a variance of 3² / 50 to each arm's 1.
    assert np.corrcoef(drawn.figures)[0, 1] == pytest.approx(0.9 / 1.18, abs=0.02)
    low, high = chosen(world, drawn)
    assert low < here < high

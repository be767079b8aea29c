"""The simulation by which the statistics of the verdict were chosen: its record, with which a short simulation agrees."""

import json
import math

import numpy as np
import pytest

from benchmarks.maintenance import simulate_statistics
from benchmarks.maintenance.simulate_statistics import (
    FILE,
    PLANNED_WORLDS,
    SPLIT_WORLD,
    WORLDS,
    chosen,
    draw,
    simulate,
    simulate_plans,
    simulate_splits,
)

CHOSEN, ALWAYS_PAIRED = "paired within a baseline (chosen)", "always paired"
MOST = {3: 0.97, 5: 0.96, 10: 0.96, 20: 0.96}  # by seeds: Welch's interval of so few errs on the safe side


@pytest.fixture(scope="module")
def recorded():
    rows = json.loads(FILE.read_text())["rows"]
    return {(row["world"], row["seeds"], row["interval"]): row for row in rows}


def test_chosen_interval_holds_the_truth_in_94_to_96_percent(recorded):
    shares = {
        (world, seeds): row["these"]
        for (world, seeds, name), row in recorded.items()
        if name == CHOSEN and world != SPLIT_WORLD
    }
    assert set(shares) == {(world.name, seeds) for world in WORLDS for seeds in (3, 5, 10, 20)}
    assert all(0.94 <= share <= MOST[seeds] for (_, seeds), share in shares.items())
    # Ten splits with one seed each: the splits differ in their people too, so that it errs on the safe side.
    assert 0.94 <= recorded[SPLIT_WORLD, 3, CHOSEN]["these"] <= 0.96 <= recorded[SPLIT_WORLD, 1, CHOSEN]["these"] < 0.97


def test_no_valid_interval_has_more_power(recorded):
    names = {name for world, _, name in recorded if world != SPLIT_WORLD}
    valid = {
        name
        for name in names
        if all(
            0.94 <= row["these"] <= MOST[seeds]
            for (world, seeds, other), row in recorded.items()
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


def test_plans_have_the_power_that_they_promise():
    """On average over pilots of 3, 5 and 10 seeds; plans that take the estimate as exact do not."""
    plans = json.loads(FILE.read_text())["plans"]
    assert len(plans) == 9
    assert all(0.76 <= row["power"] <= 0.84 for row in plans)
    assert all(row["face"] < row["power"] for row in plans)
    assert max(row["face"] for row in plans if row["pilot"] == 3) < 0.7


@pytest.mark.parametrize("world", PLANNED_WORLDS, ids=lambda world: world.name)
def test_short_simulation_of_plans_agrees(world):
    (expected,) = [
        row for row in json.loads(FILE.read_text())["plans"] if (row["world"], row["pilot"]) == (world.name, 3)
    ]
    (row,) = simulate_plans(world, 3, 100, np.random.default_rng(2))
    for key in ("power", "face"):
        assert row[key] == pytest.approx(expected[key], abs=4 * math.sqrt(0.2 / 100))
    assert row["seeds"] == pytest.approx(expected["seeds"], rel=0.4)


def test_only_what_the_record_lacks_is_simulated(tmp_path, monkeypatch):
    file = tmp_path / "statistics.json"
    record = json.loads(FILE.read_text())
    first, last = record["rows"][:5], record["plans"].pop()
    file.write_text(json.dumps({**record, "rows": record["rows"][5:]}))
    monkeypatch.setattr(simulate_statistics, "REPETITIONS", 20)
    monkeypatch.setattr(simulate_statistics, "PLANS", 20)
    simulate_statistics.simulate_missing(file)
    again = json.loads(file.read_text())
    assert again["rows"][:-5] == record["rows"][5:]
    assert again["plans"][:-1] == record["plans"]
    assert [row["world"] for row in again["rows"][-5:]] == [row["world"] for row in first]
    assert again["plans"][-1]["world"] == last["world"]


def test_measured_noise_is_renewed_where_nothing_is_missing(tmp_path, monkeypatch):
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps({**json.loads(FILE.read_text()), "measured": {}}))
    monkeypatch.setattr(simulate_statistics, "measured", lambda: {"correlation": 0.5})
    simulate_statistics.simulate_missing(file)
    assert json.loads(file.read_text())["measured"] == {"correlation": 0.5}


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

"""A suite's table: what was measured beside the paper, and why a cell is empty."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.data.loading import find_dataset
from benchmarks.reporting.suite_table import _counts, counted, grids
from benchmarks.runs import records
from benchmarks.scheduling.states import State
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments


def measured(planned, r1, m_ap, **environment):
    experiment = replace(planned.experiment, data="d", test_data="d", weights="w")
    row = {"protocol": "official", "feature": "before", "mAP": m_ap, "R1": r1, "R5": 1.0, "R10": 1.0, "R20": 1.0}
    return {
        "experiment": asdict(experiment),
        "metrics": [{**row, "queries": 10, "unmatched": 0}],
        "environment": {"gpu": None, "cpu": "a CPU", **environment},
        "cost": {"parameters": 23_510_000, "multiply_adds": 4_050_000_000},
        "phases": {"extract": {"per_second": 500.0 + 1000 * (r1 - 0.8)}},
        "code": "c0de",
        "name": experiment.name,
        "finished": "2026",
        "format": records.FORMAT,
    }


def scored(record, *views):
    """The record with metrics of its own: (protocol, feature, R1, mAP) each."""
    rows = [
        {"protocol": protocol, "feature": feature, "R1": r1, "mAP": m_ap, "R5": 1.0, "queries": 10, "unmatched": 0}
        for protocol, feature, r1, m_ap in views
    ]
    return {**record, "metrics": rows}


def table(choice, known, name="table4"):
    suite = SUITES.get(name)()
    return grids(
        suite, choice, lambda planned: [known.get(each.experiment.request_hash, State("not run")) for each in planned]
    )


def cells(grid, label, column):
    row = next(row for row in grid.rows if row[0].startswith(label))
    return row[list(grid.head).index(column)]


@pytest.fixture
def mars():
    """table4 on mars: the baseline with two seeds, QAN with one of two, full AFA failed, and the rest not run."""
    choice = Choice(("mars",), seeds=2)
    planned = {(each.row.label, each.experiment.seed): each for each in experiments(SUITES.get("table4")(), choice)}
    known = {
        planned["ResNet-50", 0].experiment.request_hash: State(
            "done", record=measured(planned["ResNet-50", 0], 0.88, 0.80)
        ),
        planned["ResNet-50", 1].experiment.request_hash: State(
            "done", record=measured(planned["ResNet-50", 1], 0.90, 0.81)
        ),
        planned["QAN*", 0].experiment.request_hash: State("done", record=measured(planned["QAN*", 0], 0.95, 0.70)),
        planned["ResNet-50 + AFA", 0].experiment.request_hash: State("failed", "out of memory"),
    }
    return table(choice, known)[0]


def test_the_papers_rows_stand_in_its_order_with_its_values(mars):
    labels = [row[0].partition(" (")[0] for row in mars.rows]
    assert labels == [
        "ResNet-50",
        "QAN*",
        "ResNet-50 + AFA",
        "QAN* + AFA",
        "L_tri only",
        "L_tri + L_cls",
        "L_tri + L_cls + L_coh",
    ]
    papers = [row[3] for row in mars.rows]
    assert papers == ["88.1", "88.6", "90.2", "89.7", "85.3", "89.8", "90.2"]  # Table 4, MARS, R1


def test_a_figure_is_mean_and_deviation_beside_the_papers_and_the_difference(mars):
    # 88 and 90: mean 89, deviation sqrt(2) = 1.4; the paper's 88.1
    assert [cells(mars, "ResNet-50 (", each) for each in ("runs", "R1")] == ["2/2", "89.0 ± 1.4"]
    row = next(row for row in mars.rows if row[0].startswith("ResNet-50 ("))
    assert row[2:5] == ["89.0 ± 1.4", "88.1", "+0.9"]


def test_what_a_method_costs_stands_beside_its_accuracy(mars):
    costs = ("M params", "G MAC", "frames/s")
    assert [cells(mars, "ResNet-50 (", each) for each in costs] == ["23.51", "4.05", "590"]
    assert [cells(mars, "L_tri only", each) for each in costs] == ["", "", ""]


def test_an_empty_cell_says_why(mars):
    assert cells(mars, "ResNet-50 + AFA", "R1") == "1 failed, 1 not run"
    assert cells(mars, "L_tri only", "R1") == "not run"
    assert cells(mars, "QAN* (", "runs") == "1/2"


def test_the_best_of_each_column_is_bold(mars):
    best = {(mars.rows[row][0].partition(" (")[0], mars.head[column]) for row, column in mars.bold}
    assert {("QAN*", "R1"), ("ResNet-50", "mAP")} <= best
    assert ("ResNet-50", "R1") not in best


def test_on_another_data_set_no_difference_to_the_paper_is_taken():
    grid = table(Choice(("walkers",), seeds=1), {})[0]
    assert "Δ" not in grid.head
    assert any("no difference is taken" in note for note in grid.notes)


def whole(choice, **environments):
    """table4 with all of its rows measured; environment: its part by a row's number."""
    planned = enumerate(experiments(SUITES.get("table4")(), choice))
    known = {
        each.experiment.request_hash: State(
            "done",
            record=measured(each, 0.88 + number / 1e5, 0.5, **{key: of(number) for key, of in environments.items()}),
        )
        for number, each in planned
    }
    return table(choice, known)[0]


def test_what_is_mixed_is_flagged_and_each_row_says_which_processors_its_speed_is_of():
    grid = whole(Choice(("mars",), seeds=1), gpu=lambda number: f"GPU {number % 2}")
    note = " ".join(grid.notes)
    assert "processor GPU 0, GPU 1 (MIXED)" in note
    assert "precision float32;" in note
    assert "frames/s by a GPU 0, b GPU 1" in note
    assert [row[-1] for row in grid.rows[:2]] == ["580 a", "580 b"]


def test_figures_that_are_printed_alike_are_both_the_best():
    grid = whole(Choice(("mars",), seeds=1))
    assert {row for row, column in grid.bold if grid.head[column] == "R1"} == set(range(len(grid.rows)))


def test_what_is_changed_from_the_recipe_stands_below_the_table():
    assert "changed from the recipe: lr=0.002" in whole(Choice(("mars",), seeds=1, changes=("lr=0.002",))).notes
    assert not any("changed" in note for note in whole(Choice(("mars",), seeds=1)).notes)


@pytest.fixture
def calibrated():
    """calibration on mars: one row near what is expected in both seeds' mean, one off, one off but for its own view."""
    choice = Choice(("mars",), seeds=2)
    views = {
        ("Gao and Nevatia, pooling", 0): [("standard", "before", 0.841, 0.761), ("official", "before", 0.1, 0.1)],
        ("Gao and Nevatia, pooling", 1): [("standard", "before", 0.825, 0.757)],  # the means: 83.3 and 75.9
        ("Gao and Nevatia, RNN", 0): [("standard", "before", 0.816, 0.733)],  # 0.6 below 73.9
        ("STE-NVAN, baseline", 0): [("official", "before", 0.5, 0.5), ("official", "after", 0.876, 0.792)],
    }
    planned = {
        (each.row.label, each.experiment.seed): each for each in experiments(SUITES.get("calibration")(), choice)
    }
    known = {
        planned[key].experiment.request_hash: State("done", record=scored(measured(planned[key], 0, 0), *rows))
        for key, rows in views.items()
    }
    return table(choice, known, "calibration")[0]


def test_calibration_shows_what_is_expected_and_whether_it_is_met(calibrated):
    assert list(calibrated.head[:9]) == ["method", "runs", "R1", "expected", "Δ", "mAP", "expected", "Δ", "within 0.5"]
    rows = {row[0].partition(" (")[0]: row[1:9] for row in calibrated.rows}
    assert rows["Gao and Nevatia, pooling"] == [
        "2/2",
        "83.3 ± 1.1",
        "83.1",
        "+0.2",
        "75.9 ± 0.3",
        "75.8",
        "+0.1",
        "yes",
    ]
    assert rows["Gao and Nevatia, RNN"][1:] == ["81.6", "81.6", "+0.0", "73.3", "73.9", "-0.6", "NO"]
    assert rows["STE-NVAN, baseline"][-1] == "yes"
    assert rows["Gao and Nevatia, attention"][-1] == ""


def test_a_calibration_that_is_off_is_said_loudly_and_recipes_of_their_own_are_not_mixed(calibrated):
    loud = [note for note in calibrated.notes if note.startswith("OFF BY MORE THAN 0.5")]
    assert loud[0].endswith(": Gao and Nevatia, RNN")
    assert "recipe gao-nevatia, ste-nvan;" in " ".join(calibrated.notes)
    assert "MIXED" not in " ".join(calibrated.notes)
    assert any(
        note.startswith("protocol official") and note.endswith("after batch normalisation: STE-NVAN, baseline")
        for note in calibrated.notes
    )


def test_on_drawn_data_nothing_is_calibrated():
    grid = table(Choice(("walkers",), seeds=1), {}, "calibration")[0]
    assert "within 0.5" not in grid.head
    assert "expected: published figures on mars; no difference is taken between data sets" in grid.notes


def test_people_are_counted_as_table1_counts_them_without_dukevs_distractors():
    (grid,) = [each for each in counted(SUITES.get("table1")(), Choice(("dukev",))) if each.title == "dukev"]
    rows = {row[0]: dict(zip(grid.head, row, strict=True)) for row in grid.rows}
    for what in ("identities", "train_identities", "test_identities"):
        assert rows[what]["published"] == rows[what]["paper"], what
    people = [("train", 1), ("query", 2), ("gallery", 2), ("gallery", 3), ("gallery", 0)]
    table = pd.DataFrame([{"subset": part, "pid": pid, "camid": 1, "frames": ["a"]} for part, pid in people])
    assert [_counts(table, find_dataset(name))["test_identities"] for name in ("dukev", "mars")] == [1, 2]


def test_published_systems_of_table2_stand_beside_ours():
    ilids, mars = table(Choice(seeds=1), {}, "table2")
    assert len(ilids.rows) == len(mars.rows) == 20
    assert cells(ilids, "AFA", "runs") == "0/10"
    assert cells(mars, "GLTR", "R1") == "not built here"
    assert "R20" in ilids.head
    assert "mAP" not in ilids.head
    assert "mAP" in mars.head
    assert "R20" not in mars.head
    assert np.array_equal([row[0] for row in ilids.rows][-1:], ["AFA (flow+afa)"])

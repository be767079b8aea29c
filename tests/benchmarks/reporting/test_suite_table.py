"""A suite's table: our figures beside the paper's, and why a cell is empty."""

import csv
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from benchmarks.data.find import find_dataset
from benchmarks.reporting.dataset_table import count_as_table1, dataset_grids
from benchmarks.reporting.grid import page
from benchmarks.reporting.suite_table import grids
from benchmarks.runs.record import Cost, Metrics, Phase
from benchmarks.scheduling.states import State
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments


@pytest.fixture
def measured(make_record):
    """The record of a planned experiment with these results."""

    def make(planned, r1, m_ap, gpu=None):
        experiment = replace(planned.experiment, data="d", test_data="d", weights="w")
        speed = 500.0 + 1000 * (r1 - 0.8)
        return make_record(
            experiment=experiment,
            metrics=[Metrics("official", "before", m_ap, r1, 1.0, 1.0, 1.0, 10, 0)],
            cost=Cost(23_510_000, 4_050_000_000.0),
            phases={"extract": Phase(1.0, round(speed), speed)},
            gpu=gpu,
        )

    return make


def scored(record, *views):
    """The record with other metrics: (protocol, feature, R1, mAP) each."""
    rows = [Metrics(protocol, feature, m_ap, r1, 1.0, 1.0, 1.0, 10, 0) for protocol, feature, r1, m_ap in views]
    return replace(record, metrics=rows)


def table(choice, known, name="table4"):
    suite = SUITES.get(name)()
    return grids(
        suite, choice, lambda planned: [known.get(each.experiment.request_hash, State("not run")) for each in planned]
    )


def cells(grid, label, column):
    row = next(row for row in grid.rows if row[0].startswith(label))
    return row[list(grid.head).index(column)]


@pytest.fixture
def mars(measured):
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


def test_papers_rows_in_order(mars):
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


def test_figure_beside_the_papers(mars):
    # 88 and 90: mean 89, deviation sqrt(2) = 1.4; the paper's 88.1
    assert [cells(mars, "ResNet-50 (", each) for each in ("runs", "R1")] == ["2/2", "89.0 ± 1.4"]
    row = next(row for row in mars.rows if row[0].startswith("ResNet-50 ("))
    assert row[2:5] == ["89.0 ± 1.4", "88.1", "+0.9"]


def test_costs_beside_accuracy(mars):
    costs = ("M params", "G MAC", "frames/s")
    assert [cells(mars, "ResNet-50 (", each) for each in costs] == ["23.51", "4.05", "590"]
    assert [cells(mars, "L_tri only", each) for each in costs] == ["", "", ""]


def test_empty_cell_says_why(mars):
    assert cells(mars, "ResNet-50 + AFA", "R1") == "1 failed, 1 not run"
    assert cells(mars, "L_tri only", "R1") == "not run"
    assert cells(mars, "QAN* (", "runs") == "1/2"


def test_best_of_each_column_is_bold(mars):
    best = {(mars.rows[row][0].partition(" (")[0], mars.head[column]) for row, column in mars.bold}
    assert {("QAN*", "R1"), ("ResNet-50", "mAP")} <= best
    assert ("ResNet-50", "R1") not in best


@pytest.mark.parametrize("suite", ["table2", "table4", "table5"])
def test_no_figures_of_another_data_set(suite):
    grid = table(Choice(("walkers",), seeds=1), {}, suite)[0]
    assert not {"paper", "Δ"} & set(grid.head)
    assert any(note.startswith("paper: no figures for walkers") for note in grid.notes)


@pytest.fixture
def whole(measured):
    """table4 with all of its rows measured; gpu: by a row's number."""
    return partial(_whole, measured)


def _whole(measured, choice, gpu=lambda number: None):
    planned = enumerate(experiments(SUITES.get("table4")(), choice))
    known = {
        each.experiment.request_hash: State(
            "done",
            record=measured(each, 0.88 + number / 1e5, 0.5, gpu(number)),
        )
        for number, each in planned
    }
    return table(choice, known)[0]


def test_mixed_processors_are_flagged(whole):
    grid = whole(Choice(("mars",), seeds=1), gpu=lambda number: f"GPU {number % 2}")
    note = " ".join(grid.notes)
    assert "processor GPU 0, GPU 1 (MIXED)" in note
    assert "precision float32;" in note
    assert "frames/s on a GPU 0, b GPU 1" in note
    assert [row[-1] for row in grid.rows[:2]] == ["580 a", "580 b"]


def test_ties_are_both_bold(whole):
    grid = whole(Choice(("mars",), seeds=1))
    assert {row for row, column in grid.bold if grid.head[column] == "R1"} == set(range(len(grid.rows)))


def test_changes_are_noted(whole):
    assert "changed from the recipe: lr=0.002" in whole(Choice(("mars",), seeds=1, changes=("lr=0.002",))).notes
    assert not any("changed" in note for note in whole(Choice(("mars",), seeds=1)).notes)


def calibration(measured, views: dict):
    """The table of `calibration` on mars, two seeds a row, from (protocol, feature, R1, mAP) by label and seed."""
    choice = Choice(("mars",), seeds=2)
    planned = {
        (each.row.label, each.experiment.seed): each for each in experiments(SUITES.get("calibration")(), choice)
    }
    known = {
        planned[key].experiment.request_hash: State("done", record=scored(measured(planned[key], 0, 0), *rows))
        for key, rows in views.items()
    }
    return table(choice, known, "calibration")[0]


@pytest.fixture
def calibrated(measured):
    """One row near what is expected, one off in its own view, and one whose source does not run."""
    views = {
        ("Gao and Nevatia, pooling", 0): [("standard", "before", 0.841, 0.761), ("official", "before", 0.1, 0.1)],
        ("Gao and Nevatia, pooling", 1): [("standard", "before", 0.825, 0.757)],  # the means: 83.3 and 75.9
        ("Gao and Nevatia, RNN", 0): [("standard", "before", 0.5, 0.5)],
        ("STE-NVAN, baseline", 0): [("official", "before", 0.874, 0.794), ("official", "after", 0.850, 0.792)],
        ("STE-NVAN, baseline", 1): [("official", "after", 0.851, 0.794)],
    }
    return calibration(measured, views)


def test_calibration_shows_expected_figures(calibrated):
    """With two seeds one more lies within 12.71 s sqrt(1.5) of their mean, s being |a - b| / sqrt(2): 11.0 |a - b|."""
    assert list(calibrated.head[:9]) == [
        "method",
        "runs",
        "R1",
        "expected",
        "Δ",
        "mAP",
        "expected",
        "Δ",
        "within seeds",
    ]
    rows = {row[0].partition(" (")[0]: row[1:9] for row in calibrated.rows}
    pooling = ["2/2", "83.3 ± 1.1", "81.8", "+1.5", "75.9 ± 0.3", "75.9", "0.0", "yes: ± 17.6 R1, ± 4.4 mAP"]
    assert rows["Gao and Nevatia, pooling"] == pooling
    assert rows["STE-NVAN, baseline"][-1] == "NO: ± 1.1 R1, ± 2.2 mAP"
    assert rows["Gao and Nevatia, attention"][-1] == ""


def test_figures_that_no_code_gives_are_not_judged(calibrated):
    rows = {row[0].partition(" (")[0]: row[1:9] for row in calibrated.rows}
    assert rows["Gao and Nevatia, RNN"][2] == "81.6*"
    assert rows["Gao and Nevatia, RNN"][-1] == "not reproducible from the source"
    assert rows["Gao and Nevatia, attention"][2] == "83.3*"
    for why in ("attention", "RNN"):
        assert any("not reproducible from the source: its" in note and why in note for note in calibrated.notes)


def test_one_seed_calibrates_nothing(measured):
    grid = calibration(measured, {("STE-NVAN, baseline", 0): [("official", "after", 0.874, 0.794)]})
    assert [row[8] for row in grid.rows] == ["", "", "", "two seeds at least"]


def test_missed_calibration_is_loud(calibrated):
    loud = [note for note in calibrated.notes if note.startswith("FURTHER OFF THAN SEEDS EXPLAIN")]
    assert loud[0].endswith(": STE-NVAN, baseline")
    assert "recipe gao-nevatia, ste-nvan-baseline;" in " ".join(calibrated.notes)
    assert "MIXED" not in " ".join(calibrated.notes)
    assert any(
        note.startswith("protocol official") and note.endswith("after batch normalisation: STE-NVAN, baseline")
        for note in calibrated.notes
    )


def test_drawn_data_is_not_calibrated():
    grid = table(Choice(("walkers",), seeds=1), {}, "calibration")[0]
    assert not {"expected", "within seeds"} & set(grid.head)
    assert "expected: no figures for walkers" in grid.notes


def test_table1_counts_no_distractors():
    (grid,) = [each for each in dataset_grids(SUITES.get("table1")(), Choice(("dukev",))) if each.title == "dukev"]
    rows = {row[0]: dict(zip(grid.head, row, strict=True)) for row in grid.rows}
    for what in ("identities", "train_identities", "test_identities"):
        assert rows[what]["published"] == rows[what]["paper"], what
    people = [("train", 1), ("query", 2), ("gallery", 2), ("gallery", 3), ("gallery", 0)]
    table = pd.DataFrame([{"subset": part, "pid": pid, "camid": 1, "frames": ["a"]} for part, pid in people])
    assert [count_as_table1(table, find_dataset(name))["test_identities"] for name in ("dukev", "mars")] == [1, 2]


def labels(grid):
    return [row[0].removeprefix("after ").partition(" (")[0] for row in grid.rows]


def test_table2_has_published_systems():
    ilids, mars = table(Choice(seeds=1), {}, "table2")
    assert labels(ilids) == labels(mars)
    assert len(mars.rows) == 20 + 14 + 8
    assert cells(ilids, "AFA", "runs") == "0/10"
    assert "R20" in ilids.head
    assert "mAP" not in ilids.head
    assert "mAP" in mars.head
    assert "R20" not in mars.head
    assert ilids.rows[-1][0] == "AFA (flow+afa)"
    assert any(note.startswith("RQEN: on MARS") and "77.8 R1" in note for note in mars.notes)
    for label in ("DRSTA", "ADFDTA", "AMOC+ EpicFlow", "TAM+SRM", "TRL"):
        assert any(note.startswith(f"{label}: after") for note in mars.notes)
        assert all(row[0].startswith("after ") for row in mars.rows if label in row[0])


def test_row_that_needs_attributes_says_so():
    """Where people are drawn their attributes are known; elsewhere a file must give them."""
    mars, drawn = (table(Choice((name,), seeds=1), {}, "table2")[0] for name in ("mars", "walkers"))
    needs = "not run (needs attributes of its people)"
    assert [cells(mars, label, "R1") for label in ("after ADFDTA (", "after ADFDTA + AFA", "STA (")] == [
        needs,
        needs,
        "not run",
    ]
    assert cells(drawn, "after ADFDTA + AFA", "R1") == "not run"
    assert any(note.startswith("ADFDTA: ") and "without which it cannot run" in note for note in mars.notes)


def test_table2_is_grouped_as_in_the_paper():
    mars = table(Choice(("mars",), seeds=1), {}, "table2")[0]
    names = labels(mars)
    assert mars.headings == {
        names.index("CNN+XQDA"): "aggregation of frames",
        names.index("DVR"): "temporal feature learning",
        names.index("AFA"): "the paper",
    }
    terminal = page([mars], "terminal").splitlines()
    first = next(number for number, line in enumerate(terminal) if line.startswith("aggregation of"))
    assert "CNN+XQDA" in terminal[first + 2]
    rows = list(csv.reader(page([mars], "csv").splitlines()))
    assert [row[1] for row in rows[1:]] == [row[0] for row in mars.rows]  # a heading is no row of data


def test_table2_says_which_trainer():
    mars = table(Choice(("mars",), seeds=1), {}, "table2")[0]
    assert [cells(mars, label, "trainer") for label in ("GLTR (", "GLTR, own", "SDM")] == ["shared", "own: gltr", ""]


def test_figures_in_doubt_are_marked():
    ilids, mars = table(Choice(seeds=1), {}, "table2")
    column = list(mars.head).index("R1") + 1
    paper = {row[0].partition(" (")[0]: row[column] for row in mars.rows}
    doubted = ("QAN", "QAN, own trainer", "RQEN", "RQEN, own trainer")
    assert [paper[each] for each in (*doubted, "SDM")] == [*["73.7*"] * 4, "71.2"]
    assert f"* looks copied: all MARS cells of QAN and RQEN are the same: {'; '.join(doubted)}" in mars.notes
    assert not any(note.startswith("*") for note in ilids.notes)


def test_table3_in_the_papers_order_with_afa_behind_each_system(measured):
    choice = Choice(("dukev",), seeds=1)
    planned = {each.row.label: each for each in experiments(SUITES.get("table3")(), choice)}
    known = {
        planned[label].experiment.request_hash: State(
            "done", record=scored(measured(planned[label], 0.9, 0), ("standard", "before", r1, m_ap))
        )
        for label, r1, m_ap in (("COSAM", 0.95, 0.935), ("COSAM + AFA", 0.961, 0.947))
    }
    (grid,) = table(choice, known, "table3")
    assert [[row[0], *row[2:6], *row[-6:-3]] for row in grid.rows if "own trainer" not in row[0]] == [
        ["STA (sta)", "0/1", "not run", "96.2", "", "", "94.9", ""],
        ["STA + AFA (sta+afa)", "0/1", "not run", "", "", "", "", ""],
        ["VRSTC", "", "not built: generates frames", "95.0", "", "", "93.5", ""],
        ["COSAM (cosam)", "1/1", "95.0", "95.4", "", "93.5", "94.1", ""],
        ["COSAM + AFA (cosam+afa)", "1/1", "96.1", "", "", "94.7", "", ""],
        ["GLTR (gltr)", "0/1", "not run", "96.3", "", "", "93.7", ""],
        ["GLTR + AFA (gltr+afa)", "0/1", "not run", "", "", "", "", ""],
        ["AFA (mean+afa)", "0/1", "not run", "97.2", "", "", "95.4", ""],
    ]


def test_own_trainers_are_compared_with_the_published_figures(measured):
    """Differences are shown where the trainer is that of the published figures, and by a protocol that the data set has."""
    choice = Choice(("dukev",), seeds=1)
    planned = {each.row.label: each for each in experiments(SUITES.get("table3")(), choice)}
    known = {
        planned[label].experiment.request_hash: State(
            "done",
            record=scored(measured(planned[label], 0.9, 0), *(("standard", each, 0.97, 0.94) for each in features)),
        )
        for label, features in (("GLTR", ["before"]), ("GLTR, own trainer", ["before", "after"]), ("AFA", ["before"]))
    }
    (grid,) = table(choice, known, "table3")
    at = list(grid.head).index("R1")
    own, shared, paper = (
        next(row for row in grid.rows if row[0].startswith(label))[at : at + 3]
        for label in ("GLTR, own trainer", "GLTR (gltr)", "AFA (")
    )
    assert own == ["97.0", "96.3", "+0.7"]
    assert shared == ["97.0", "96.3", ""]
    assert paper == ["97.0", "97.2", "-0.2"]
    assert "Δ: only where the trainer is that of the published figures" in grid.notes


def test_systems_that_read_order_and_do_not_show_it_are_named(measured):
    def on(dataset, recipe=None):
        choice = Choice((dataset,), seeds=2, recipe=recipe)
        return {(each.row.label, each.experiment.seed): each for each in experiments(SUITES.get("table2")(), choice)}

    controls = on("walkers-gait", recipe="mars")  # that of the table's rows
    r1 = {("CNN+RNN", 0): 0.04, ("CNN+RNN", 1): 0.02, ("GLTR", 0): 0.5, ("STA", 0): 0.01, ("TRL", 0): 0.01}

    def beside(controls, first_seed=0):
        known = {
            controls[key].experiment.request_hash: State("done", record=measured(controls[key], value, 0.1))
            for key, value in r1.items()
        }
        return table(Choice(("mars",), seeds=2, first_seed=first_seed), known, "table2")[0]

    grid = beside(controls)
    shown = {label: cells(grid, f"{label} (", "gait R1") for label in ("CNN+RNN", "GLTR", "STA", "RQEN", "GLTR + AFA")}
    assert shown == {"CNN+RNN": "3.0 ± 1.4", "GLTR": "50.0", "STA": "1.0", "RQEN": "", "GLTR + AFA": ""}
    assert "read the order of frames but do not tell people apart by it: CNN+RNN, TRL" in grid.notes
    assert cells(beside(controls, first_seed=1), "GLTR (", "gait R1") == "50.0"  # the controls ran with seed 0
    of_other_settings = on("walkers-gait", recipe="small")
    assert "gait R1" not in beside(of_other_settings).head

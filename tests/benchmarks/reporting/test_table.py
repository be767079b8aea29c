"""The table says what ran: mean and spread over runs, settings that differ, and nothing mixed without a word."""

import csv
import json
from pathlib import Path

import pytest

from benchmarks.experiments.code_digest import code_digest
from benchmarks.experiments.experiment import Experiment
from benchmarks.reporting.table import page, tables
from benchmarks.runs import exchange, records

HOUSE = Path(__file__).parents[3]


def record(
    method="mean", seed=0, r1=0.5, dataset="walkers", code=None, recipe="small", data="d", speed=1000.0, **settings
) -> records.Record:
    fractions = {"mAP": r1 / 2, "R1": r1, "R5": 1.0, "R10": 1.0, "R20": 1.0}
    rows = [
        {
            "protocol": protocol,
            "feature": "before",
            **fractions,
            "queries": 10,
            "unmatched": 0 if protocol == "full" else 2,
        }
        for protocol in ("standard", "full")
    ]
    experiment = {
        "method": method, "dataset": dataset, "test": dataset, "settings": {"epochs": 40, **settings}, "seed": seed,
        "split": 0, "test_split": 0, "data": data * 64, "test_data": data * 64, "weights": "none", "recipe": recipe,
    }  # fmt: skip
    return {
        "name": f"{dataset}-{method}-{seed}",
        "experiment": experiment,
        "metrics": rows,
        "code": code or code_digest(Experiment(**experiment)),
        "environment": {"gpu": None, "cpu": "a processor"},
        "cost": {"parameters": 1_250_000, "multiply_adds": 4_075_000_000.0},
        "phases": {"extract": {"seconds": 1.0, "items": speed, "per_second": speed}},
    }


def line(text: str, begin: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begin))


def test_mean_and_sample_standard_deviation_over_seeds():
    (table,) = tables([record(seed=s, r1=r) for s, r in enumerate((0.5, 0.6, 0.7))], None, {})
    row = line(page([table], "terminal"), "mean")
    assert row.split()[:3] == ["mean", "3", "60.0±10.0"]  # by hand: the sample deviation of 50, 60, 70


def test_runs_of_two_precisions_are_two_rows_that_say_so():
    (table,) = tables([record(precision=each) for each in ("float32", "bf16")], None, {})
    assert [row.label for row in table.rows] == ["mean (precision=bf16)", "mean (precision=float32)"]


def test_what_a_run_costs_is_the_mean_over_runs_and_a_dash_for_features_from_outside():
    outside = {**external(), "cost": None, "phases": {"evaluate": {"seconds": 1.0, "items": 9, "per_second": 9.0}}}
    (table,) = tables([record(seed=0, speed=900), record(seed=1, speed=1200), outside], None, {})
    assert line(page([table], "terminal"), "mean").split()[-3:] == ["1.25", "4.08", "1050"]
    assert line(page([table], "terminal"), "theirs").split()[-3:] == ["-", "-", "-"]


def test_a_table_with_spreads_fits_a_terminal_of_100_columns():
    runs = [record(method, seed, r) for method in ("mean", "cnn3d+afa") for seed, r in enumerate((0.60, 0.61, 0.62))]
    (table,) = tables(runs, None, {})
    assert max(map(len, page([table], "terminal").splitlines())) <= 100  # and what is said below it


def test_rows_of_one_method_are_told_apart_by_the_settings_that_differ():
    (table,) = tables([record(), record(epochs=0), record("qan")], None, {})
    assert [row.label for row in table.rows] == ["mean (epochs=0)", "mean (epochs=40)", "qan (epochs=40)"]


def test_each_data_set_has_a_table_of_its_own():
    assert [table.title for table in tables([record(), record(dataset="mars")], None, {})] == ["mars", "walkers"]


def test_the_protocol_is_named_and_what_it_leaves_out_is_counted():
    (table,) = tables([record()], None, {})
    assert "protocol standard" in page([table], "terminal")
    assert "queries without a match, left out: 2" in page([table], "terminal")
    (table,) = tables([record()], "full", {})
    assert "left out" not in page([table], "terminal")


def test_stale_records_stand_apart_from_current_ones():
    (table,) = tables([record(), record(seed=1, code="0" * 64)], None, {})
    assert sorted((len(row.runs), bool(row.stale)) for row in table.rows) == [(1, False), (1, True)]
    (table,) = tables([record()], None, {"walkers/0": {"e" * 64}})
    assert "* stale: other data: walkers" in table.notes
    (table,) = tables([record(seed=1, code="0" * 64)], None, None)
    assert not table.rows[0].stale


def test_github_and_csv_hold_the_same_cells():
    (table,) = tables([record()], None, {})
    cells = [cell.strip() for cell in line(page([table], "github"), "| mean").strip("|").split("|")]
    assert cells == ["mean", "1", "50.0", "100.0", "100.0", "100.0", "25.0", "1.25", "4.08", "1000"]
    assert next(csv.reader(page([table], "csv").splitlines()[1:]))[:-1] == ["walkers", *cells]


def test_csv_of_several_tables_has_one_header_and_no_other_line():
    lines = page(tables([record(), record("qan"), record(dataset="mars")], None, {}), "csv").splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["data set", "method"], ["mars", "mean"], ["walkers", "mean"], ["walkers", "qan"],
    ]  # fmt: skip


def test_what_all_rows_changed_of_their_recipe_stands_below_the_table():
    (table,) = tables([record(epochs=3), record("qan", epochs=3)], None, {})
    assert [row.label for row in table.rows] == ["mean", "qan"]
    assert "changed from the recipe: epochs=3" in table.notes
    assert not any("changed" in note for note in tables([record()], None, {})[0].notes)


def test_what_one_row_changed_of_its_recipe_stands_in_its_label():
    plain, changed = record("mean+afa", sigma=0.025), record("mean+afa", sigma=0.5)
    (table,) = tables([plain, changed, record(sigma=0.0)], None, {})
    assert [row.label for row in table.rows] == ["mean", "mean+afa", "mean+afa (sigma=0.5)"]
    (table,) = tables([record(sigma=0.0), record("mean+afa", sigma=0.0)], None, {})  # the same, which one name implies
    assert [row.label for row in table.rows] == ["mean", "mean+afa (sigma=0.0)"]
    (table,) = tables([record("mean+afa", recipe="mine", sigma=s) for s in (0.1, 0.2)], None, {})
    assert [row.label for row in table.rows] == ["mean+afa (sigma=0.1)", "mean+afa (sigma=0.2)"]


def test_methods_under_one_table_are_tuned_alike_or_the_table_says_so():
    alike = [record("mean", tuning_trials=9, lr=0.1), record("qan", tuning_trials=9, lr=0.2)]
    (table,) = tables(alike, None, {})
    assert [row.label for row in table.rows] == ["mean (tuned)", "qan (tuned)"]
    assert {"mean (tuned): lr=0.1", "qan (tuned): lr=0.2"} < set(table.notes)
    assert any(note.startswith("tuned: 9 trials each") for note in table.notes)
    (table,) = tables([*alike, record("lstm", tuning_trials=0, lr=0.1)], None, {})
    assert any(note.startswith("UNEQUAL TUNING: trials: 0 of lstm") for note in table.notes)
    assert not any("tun" in note.lower() for note in tables([record(tuning_trials=0)], None, {})[0].notes)


def test_one_method_tuned_to_two_ends_is_two_rows_that_can_be_told_apart():
    (table,) = tables([record(tuning_trials=9, lr=lr) for lr in (0.1, 0.2)], None, {})
    assert len({row.label for row in table.rows}) == 2
    for row in table.rows:
        assert f"{row.label}: lr={row.runs[0]['experiment']['settings']['lr']}" in table.notes


def external(method="theirs", metric="euclidean", **more):
    made = record(method, recipe="external", **more)
    made["experiment"]["settings"] = {"metric": metric}
    return made


def test_an_external_method_is_marked_whatever_its_name():
    (table,) = tables([record(), external("mean"), external("mean", "cosine")], None, {})
    assert [row.label for row in table.rows] == ["mean", "mean (external)", "mean (external, cosine)"]


def test_other_features_under_one_name_are_two_rows_that_can_be_told_apart():
    first, second = external(r1=0.2), external(r1=0.4, data="e")
    (table,) = tables([first, second], None, {})
    assert sorted(row.values["R1"] for row in table.rows) == [[20.0], [40.0]]
    names = {Experiment(**each["experiment"]).name[-10:] for each in (first, second)}
    assert {row.label for row in table.rows} == {f"theirs (external, {name})" for name in names}


def test_a_long_label_is_broken_at_a_terminal_and_loses_nothing():
    values = {f"setting_{letter}": "v" * 15 for letter in "abcdefgh"}
    (table,) = tables([record(**values), record(epochs=0)], None, {})
    text = page([table], "terminal")
    assert max(map(len, text.splitlines())) <= 100
    assert all(key in text for key in values)


def test_many_seeds_stand_below_the_table_by_the_first_and_the_last():
    def seeds(*numbers):
        (table,) = tables([record(seed=number) for number in numbers], None, None)
        return next(note for note in table.notes if "seeds" in note)

    assert "seeds 0, 1, 2;" in seeds(0, 1, 2)
    assert "seeds 0 to 9;" in seeds(*range(10))
    assert "seeds 0, 1, 2, 4;" in seeds(0, 1, 2, 4)


def test_an_export_gives_back_the_records(tmp_path, bench, results):
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (ours,) = records.finished(results)
    file = tmp_path / "e.parquet"
    exchange.export([(records.RunFolder(results / ours["name"]), ours)], file)
    assert json.dumps(exchange.exported(file), sort_keys=True) == json.dumps([ours], sort_keys=True)


@pytest.mark.parametrize("name", ["/home/", "/root", "/tmp", "/work"])
def test_committed_records_hold_no_absolute_path(name):
    for file in (HOUSE / "results" / "measured").glob("*.parquet"):
        assert name not in json.dumps(exchange.exported(file)), file.name

"""The table says what ran: mean and spread over runs, settings that differ, and nothing mixed without a word."""

import json
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.experiment import Experiment, code_digest
from benchmarks.reporting import documents
from benchmarks.reporting.table import render, tables

HOUSE = Path(__file__).parents[3]


def record(method="mean", seed=0, r1=0.5, dataset="walkers", code=None, **settings) -> records.Record:
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
        "split": 0, "test_split": 0, "data": "d" * 64, "test_data": "d" * 64, "weights": "none", "recipe": "small",
    }  # fmt: skip
    return {
        "name": f"{dataset}-{method}-{seed}",
        "experiment": experiment,
        "metrics": rows,
        "code": code or code_digest(Experiment(**experiment)),
        "environment": {"gpu": None, "cpu": "a processor"},
    }


def line(text: str, begin: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begin))


def test_mean_and_sample_standard_deviation_over_seeds():
    (table,) = tables([record(seed=s, r1=r) for s, r in enumerate((0.5, 0.6, 0.7))], None, {})
    row = line(render(table, "terminal"), "mean")
    assert row.split()[:5] == ["mean", "3", "60.0", "±", "10.0"]  # by hand: the sample deviation of 50, 60, 70


def test_rows_of_one_method_are_told_apart_by_the_settings_that_differ():
    (table,) = tables([record(), record(epochs=0), record("qan")], None, {})
    assert [row.label for row in table.rows] == ["mean (epochs=0)", "mean (epochs=40)", "qan (epochs=40)"]


def test_each_data_set_has_a_table_of_its_own():
    assert [table.title for table in tables([record(), record(dataset="mars")], None, {})] == ["mars", "walkers"]


def test_the_protocol_is_named_and_what_it_leaves_out_is_counted():
    (table,) = tables([record()], None, {})
    assert "protocol standard" in render(table, "terminal")
    assert "queries without a match, left out: 2" in render(table, "terminal")
    (table,) = tables([record()], "full", {})
    assert "left out" not in render(table, "terminal")


def test_stale_records_stand_apart_from_current_ones():
    (table,) = tables([record(), record(seed=1, code="0" * 64)], None, {})
    assert sorted((len(row.runs), bool(row.stale)) for row in table.rows) == [(1, False), (1, True)]
    (table,) = tables([record()], None, {"walkers/0": {"e" * 64}})
    assert "* stale: other data: walkers" in table.notes
    (table,) = tables([record(seed=1, code="0" * 64)], None, None)
    assert not table.rows[0].stale


def test_github_and_csv_hold_the_same_cells():
    (table,) = tables([record()], None, {})
    cells = [cell.strip() for cell in line(render(table, "github"), "| mean").strip("|").split("|")]
    assert cells == ["mean", "1", "50.0", "100.0", "100.0", "100.0", "25.0"]
    assert render(table, "csv").splitlines()[1] == "walkers," + ",".join(cells)


def test_every_figure_in_the_documents_is_rendered_from_its_record():
    found = 0
    for file in [HOUSE / "README.md", *(HOUSE / "docs").glob("*.md")]:
        text = file.read_text()
        found += len(documents.BLOCK.findall(text))
        assert documents.rendered(text, HOUSE) == text, f"python -m benchmarks.reporting.documents {file.name}"
    assert found


def test_an_export_gives_back_the_records(tmp_path, bench, results):
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (ours,) = records.finished(results)
    file = tmp_path / "e.parquet"
    records.export([(records.RunFolder(results / ours["name"]), ours)], file)
    assert json.dumps(records.exported(file), sort_keys=True) == json.dumps([ours], sort_keys=True)


@pytest.mark.parametrize("name", ["/home/", "/root", "/tmp", "/work"])
def test_committed_records_hold_no_absolute_path(name):
    for file in (HOUSE / "results").rglob("*.parquet"):
        assert name not in json.dumps(records.exported(file)), file.name

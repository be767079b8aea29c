"""What a record says of its data stands wherever its figures stand, also where the data set is not known."""

from dataclasses import replace

import pandas as pd
import pytest

from benchmarks.experiments.experiment import DatasetPair
from benchmarks.reporting import suite_table, verdict
from benchmarks.reporting.answer import answer, picture
from benchmarks.reporting.figures.curves import cmc
from benchmarks.reporting.report.run_page import run_page
from benchmarks.reporting.show import describe
from benchmarks.reporting.table import tables
from benchmarks.reporting.verdict_tables import grids
from benchmarks.runs.finished import FinishedRun
from benchmarks.scheduling.states import DONE, State
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments

NOTE = "mars: drawn in lines"


@pytest.fixture
def runs(make_record):
    """Runs of all methods of Table 4, one seed, whose records carry a note."""
    rows = pd.DataFrame(
        {
            "protocol": "official",
            "feature": "before",
            "query": ["a", "b"],
            "pid": [1, 2],
            "camid": 1,
            "average_precision": [0.5, 1.0],
            "first_hit_rank": [2.0, 1.0],
        }
    )
    found = []
    for planned in experiments(SUITES.get("table4")(), Choice(("mars",), seeds=1)):
        record = make_record(experiment=replace(planned.experiment, data="d", test_data="d", weights="w"))
        found.append(FinishedRun(replace(record, data_notes={"mars": "drawn in lines"}), rows=rows))
    return found


def test_title_says_that_counts_are_not_the_published_ones(runs, make_record):
    note = "not the published counts (train identities: 8 found, 625 published)"
    runs = [FinishedRun(replace(run.record, data_notes={"mars": note}), rows=run.queries()) for run in runs]
    judged = verdict.judge(runs)
    (grid,) = grids(judged)
    assert grid.title.startswith("mars (not the published counts): ")
    assert "On mars (not the published counts) (" in "\n".join(answer(judged))
    assert "mars (not the published counts): " in picture(judged)
    (made,) = tables([run.record for run in runs], None, None)
    assert made.title == "mars (not the published counts)"
    assert f"mars: {note}" in made.notes
    record = make_record(dataset="dukev")
    crossed = replace(record, experiment=replace(record.experiment, test="mars"))
    (made,) = tables([replace(crossed, data_notes={"mars": note})], None, None)
    assert made.title == "dukev to mars (not the published counts)"


def test_verdict(runs):
    (grid,) = grids(verdict.judge(runs))
    assert grid.notes.count(NOTE) == 1


def test_figure(runs):
    assert cmc(runs).notes.count(NOTE) == 1


def test_suite_table(runs):
    suite, pair = SUITES.get("table4")(), DatasetPair("mars", "mars")
    by_request = {run.experiment.request_hash: run.record for run in runs}

    def find_states(planned):
        return [State(DONE, record=by_request[each.experiment.request_hash]) for each in planned]

    rows = suite_table.measured_rows(suite, Choice(("mars",), seeds=1), pair, find_states)
    assert suite_table.grid(suite, pair, rows).notes.count(NOTE) == 1


def test_one_run(runs):
    assert NOTE in describe(runs[0].record, []).splitlines()
    assert NOTE in str(run_page(runs[0], None, []))

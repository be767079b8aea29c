"""A report of 1,000 finished runs: those in results/measured, copied under more seeds, with curves."""

import json
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.reporting.report import write
from benchmarks.runs.exchange import exported_runs
from benchmarks.runs.finished import finished_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Record
from benchmarks.runs.store import write_record
from benchmarks.runs.unfinished import start_run
from benchmarks.scheduling.states import find_in_results

from .comparison import note_row

RUNS, LIMIT = 1000, 20.0  # seconds
MEASURED = Path(__file__).parents[2] / "results" / "measured"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs."""
    place = tmp_path_factory.mktemp("runs")
    # By name: a run may stand in the files of several suites.
    measured: dict[str, tuple[Record, pd.DataFrame]] = {}
    for file in sorted(MEASURED.glob("*.parquet")):
        measured |= {record.name: (record, rows) for record, rows in exported_runs(file)}
    copies = ((each, round_) for round_ in count() for each in measured.values())
    for (record, rows), round_ in islice(copies, RUNS):
        experiment = replace(record.experiment, seed=record.experiment.seed + 100 * round_)
        folder = RunFolder(place / experiment.name)
        start_run(folder, experiment, record.code)
        epochs = range(1, experiment.settings["epochs"] + 1)
        lines = [{"epoch": e, "iteration": 7 * e, "lr": 1e-3, "means_of": 7, "loss": 3 / e} for e in epochs]
        folder.curves.write_text("".join(json.dumps(line) + "\n" for line in lines))
        write_record(folder, replace(record, name=experiment.name, experiment=experiment), rows)
    return place


def test_report(benchmark: Any, runs: Path, tmp_path: Path) -> None:
    benchmark.pedantic(
        lambda: write(finished_runs(runs), tmp_path, None, find_in_results(runs), lambda *_: None), rounds=1
    )
    pages = len(list((tmp_path / "runs").glob("*.html")))
    note = (
        "a third of the work is drawing figures, most of that the fonts of their PDF files; the tables of suites and the pages "
        "of runs take a quarter each"
    )
    note_row(benchmark, f"a report of {pages:,} runs", "", benchmark.stats.stats.max, LIMIT, unit="s", note=note)

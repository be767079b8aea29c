"""The time of commands: `bench --help` and `list` against an empty program; `table` and `status` with 10,000 records."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments.code_digest import code_digest
from benchmarks.runs.exchange import exported_records
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import record_to_json
from benchmarks.runs.unfinished import start_run
from slurm.ledger import Ledger, LedgerEntry

from .comparison import note_row, time_alternately

BENCH = (sys.executable, "-m", "benchmarks.cli")
RUNS = 10_000
MEASURED = Path(__file__).parents[2] / "results" / "measured"


@pytest.mark.parametrize("words", ["--help", "list"])
def test_start(benchmark: Any, words: str) -> None:
    def empty() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def bench() -> None:
        subprocess.run([*BENCH, words], check=True, stdout=subprocess.DEVNULL)

    bench_times, empty_times = time_alternately(benchmark, bench, empty, rounds=10)
    difference = float(np.median(bench_times - empty_times))
    measured = f"{np.median(bench_times):.2f} s against {np.median(empty_times):.2f} s"
    note = "importing typer, which imports rich and pydantic, and parsing the files of baselines twice"
    what = f"`bench {words}`: extra time"
    note_row(benchmark, what, "`python -c pass`", difference, 0.25, measured=measured, unit="s", note=note)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished and current runs, all submitted: those in results/measured, copied under more seeds."""
    results = tmp_path_factory.mktemp("runs")
    files = sorted(MEASURED.glob("*.parquet"))
    measured = list({record.name: record for file in files for record in exported_records(file)}.values())
    entries: list[LedgerEntry] = []
    for round_, record in islice(((n, each) for n in count() for each in measured), RUNS):
        experiment = replace(record.experiment, seed=record.experiment.seed + 1000 * round_)
        folder = RunFolder(results / experiment.name)
        folder.path.mkdir()
        code = code_digest(experiment) or record.code
        copy = replace(record, name=experiment.name, experiment=experiment, code=code)
        folder.record.write_text(record_to_json(copy))
        start_run(folder, experiment, code)
        entries.append(
            LedgerEntry(experiment.request_hash, experiment.name, str(len(entries)), "local", "1", "2026-01-01")
        )
    ledger = Ledger(results)
    with ledger.lock():
        ledger.add(entries)
    return results


# Profiled:
LIMIT = (
    "over a third is imports, half of that pandas; a quarter reading the records, a ninth the digest of today's code"
)


@pytest.mark.parametrize("verb", ["table", "status"])
def test_many_records(benchmark: Any, runs: Path, verb: str) -> None:
    environment = os.environ | {"BENCH_RESULTS": str(runs)}

    def call() -> None:
        subprocess.run([*BENCH, verb], check=True, stdout=subprocess.DEVNULL, env=environment)

    benchmark.pedantic(call, rounds=3, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    what = f"`bench {verb}` over {len(list(runs.glob('*/record.json'))):,} records"
    note_row(benchmark, what, "", seconds, 1.5, unit="s", note=LIMIT)

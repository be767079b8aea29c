"""What a user waits for at the command line: help and list beside an empty program, table and status over 10,000 records."""

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
from benchmarks.runs import exchange, records
from benchmarks.runs.records import RunFolder, experiment_of
from slurm.ledger import Ledger, LedgerEntry

from .comparison import in_turn, note_row

BENCH = (sys.executable, "-m", "benchmarks.cli")
RUNS = 10_000
MEASURED = Path(__file__).parents[2] / "results" / "measured"


@pytest.mark.parametrize("words", ["--help", "list"])
def test_start(benchmark: Any, words: str) -> None:
    def empty() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def ours() -> None:
        subprocess.run([*BENCH, words], check=True, stdout=subprocess.DEVNULL)

    steps, peers = in_turn(benchmark, ours, empty, rounds=10)
    more = float(np.median(steps - peers))
    measured = f"{np.median(steps):.2f} s against {np.median(peers):.2f} s"
    note_row(benchmark, f"`bench {words}`: more than", "`python -c pass`", more, 0.3, measured=measured, unit="s")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished and current runs that were all submitted: those in results/measured, under further seeds."""
    place = tmp_path_factory.mktemp("runs")
    files = sorted(MEASURED.glob("*.parquet"))
    measured = list({record["name"]: record for file in files for record in exchange.exported(file)}.values())
    entries: list[LedgerEntry] = []
    for round_, record in islice(((n, each) for n in count() for each in measured), RUNS):
        first = experiment_of(record)
        experiment = replace(first, seed=first.seed + 1000 * round_)
        folder = RunFolder(place / experiment.name)
        folder.path.mkdir()
        code = code_digest(experiment) or record["code"]
        again = {**record, "name": experiment.name, "experiment": experiment.__dict__, "code": code}
        folder.record.write_text(records.to_json(again))
        folder.settings.write_text(records.to_json({**experiment.__dict__, "code": record["code"]}))
        entries.append(
            LedgerEntry(experiment.request_hash, experiment.name, str(len(entries)), "local", "1", "2026-01-01")
        )
    ledger = Ledger(place)
    with ledger.lock():
        ledger.add(entries)
    return place


@pytest.mark.parametrize("verb", ["table", "status"])
def test_many_records(benchmark: Any, runs: Path, verb: str) -> None:
    environment = os.environ | {"BENCH_RESULTS": str(runs)}

    def call() -> None:
        subprocess.run([*BENCH, verb], check=True, stdout=subprocess.DEVNULL, env=environment)

    benchmark.pedantic(call, rounds=3, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    note_row(
        benchmark, f"`bench {verb}` over {len(list(runs.glob('*/record.json'))):,} records", "", seconds, 2, unit="s"
    )

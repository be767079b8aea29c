"""The readers of what a run is made of and leaves: recipe, record, curves."""

import json
import tempfile
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import TrialState

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import ATTACHED
from benchmarks.experiments.recipe_files import RECIPES
from benchmarks.experiments.settings import resolve
from benchmarks.reporting import gallery
from benchmarks.runs.exchange import export_runs, exported_runs
from benchmarks.runs.finished import FinishedRun
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.metrics import QUERY_COLUMNS
from benchmarks.runs.record import (
    FORMAT,
    Cost,
    Environment,
    Metrics,
    Phase,
    Record,
    parse_record,
    record_to_json,
    to_json,
)
from benchmarks.runs.store import write_record
from benchmarks.runs.unfinished import start_run, started_experiments, starting_code
from benchmarks.scheduling.trial_journal import open_study
from slurm.ledger import Ledger, LedgerEntry
from slurm.ledger import _parse as ledger_lines

from .reader import Reader, write_text

EXPERIMENT = Experiment(
    "mean", "walkers", "walkers", {"epochs": 40, "lr": 0.001}, 0, 0, "d" * 64, "d" * 64, "none", "small"
)


def _record() -> Record:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Record(
        format=FORMAT,
        name=EXPERIMENT.name,
        experiment=EXPERIMENT,
        code="c" * 64,
        metrics=[Metrics("official", "before", 0.5, 0.5, 1.0, 1.0, 1.0, 10, 0)],
        cost=Cost(1000, 2e8),
        phases={"train": Phase(60.0, 6000, 100.0)},
        peak_memory={"resident": 2**30},
        environment=Environment(2, "a processor", None, None, {"torch": "2.14.1"}, 1, "3.11.7", "Linux"),
        started=now,
        finished=now,
    )


def _queries() -> pd.DataFrame:
    values = {"protocol": "official", "feature": "before", "pid": range(10), "camid": 0, "average_precision": 0.5}
    frame = pd.DataFrame({**values, "query": [f"t{i}" for i in range(10)], "first_hit_rank": 2.0})
    return frame[[*QUERY_COLUMNS]] if set(QUERY_COLUMNS) <= set(frame) else frame


def _finished(folder: Path) -> RunFolder:
    run = RunFolder(folder / EXPERIMENT.name)
    run.path.mkdir(exist_ok=True)
    start_run(run, EXPERIMENT, "c" * 64)
    write_record(run, _record(), _queries())
    run.curves.write_text("".join(json.dumps({"epoch": i, "iteration": i, "loss": 1 / i}) + "\n" for i in range(1, 6)))
    return run


def _make_record(folder: Path) -> Path:
    return _finished(folder).record


def _make_started(folder: Path) -> Path:
    return _finished(folder).settings


def _make_curves(folder: Path) -> Path:
    return _finished(folder).curves


def _make_queries(folder: Path) -> Path:
    return _finished(folder).queries


def _read_record(file: Path) -> str:
    return record_to_json(parse_record(file.read_bytes(), file))


def _same_json(file: Path, result: str) -> bool:
    return _holds(json.loads(result), json.loads(file.read_bytes()))


def _holds(found: Any, written: Any) -> bool:
    """Whether a result has all that was written. It may have defaults besides."""
    if isinstance(found, dict) and isinstance(written, dict):
        return all(key in found and _holds(found[key], value) for key, value in written.items())
    if isinstance(found, list) and isinstance(written, list):
        return len(found) == len(written) and all(map(_holds, found, written))
    if isinstance(found, float) and isinstance(written, int):
        return found == float(written)  # 10^24 has no float64 of its own
    return bool(found == written)


def _make_export(folder: Path) -> Path:
    export_runs([(_finished(folder), _record())], folder / "runs.parquet")
    return folder / "runs.parquet"


def _read_export(file: Path) -> str:
    return " ".join(f"{record_to_json(record)} {rows.to_json()}" for record, rows in exported_runs(file))


def _read_started(file: Path) -> str:
    code = starting_code(RunFolder(file.parent))
    found = [asdict(experiment) for _, experiment in started_experiments(file.parents[1])]
    return json.dumps([code, found])


def _same_started(file: Path, result: str) -> bool:
    values = json.loads(file.read_bytes())
    code, found = json.loads(result)
    same = all(each.get(key, value) == value for each in found for key, value in values.items() if key != "code")
    return code == str(values["code"]) and same


def _read_curves(file: Path) -> str:
    return FinishedRun(_record(), RunFolder(file.parent)).curves().to_json(orient="records", double_precision=15)


def _same_curves(file: Path, result: str) -> bool:
    rows = [json.loads(line) for line in file.read_text(errors="replace").splitlines()]
    return len(rows) == len(json.loads(result))


def _read_queries(file: Path) -> str:
    return str(FinishedRun(_record(), RunFolder(file.parent)).all_queries().to_json())


def _make_recipe(folder: Path) -> Path:
    return write_text(folder / "mine.toml", (RECIPES / "small.toml").read_text())


def _read_recipe(file: Path) -> str:
    return json.dumps(resolve(str(file), "mean").as_dict())


def _same_recipe(file: Path, result: str) -> bool:
    """Each value of the file, but for those that the name of the method decides."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    found = json.loads(result)
    return all(found.get(key) == value for key, value in values.items() if key in found and key not in ATTACHED)


def _make_option(folder: Path) -> Path:
    return write_text(folder / "option.txt", "lr=0.001")


def _read_option(file: Path) -> str:
    text = file.read_text(errors="replace")
    settings = resolve("small", "mean", [text]).recorded()
    return json.dumps(settings[text.partition("=")[0].strip()])


def _same_option(file: Path, result: str) -> bool:
    written = file.read_text(errors="replace").partition("=")[2]
    value = json.loads(result)
    return written == value or tomllib.loads(f"value = {written}")["value"] == value


def _make_gallery(folder: Path) -> Path:
    for name in ("001-query.png", "001-rank01.png"):
        (folder / name).touch()
    query = gallery.Strip("t1", 1, 0, "001-query.png", 8, 400, 100, [0.5, 0.25], None, 0.0)
    ranked = gallery.Strip("t2", 1, 1, "001-rank01.png", 8, 400, 100, None, True, 0.5)
    lists = gallery.Lists(EXPERIMENT.name, "official", [gallery.RankedList(query, [ranked], 1.0, 1)])
    return write_text(folder / gallery.LISTS, to_json(asdict(lists)))


def _read_gallery(file: Path) -> str:
    lists = gallery.copy(file.parent, file.parent / "report", True)
    return to_json(lists and asdict(lists))


def _make_ledger(folder: Path) -> Path:
    ledger = Ledger(folder)
    with ledger.lock():
        ledger.add(LedgerEntry(f"key{i}", f"mean {i}", f"12_{i}", "slurm", "2026", "2026-01-01") for i in range(6))
    return ledger.file


def _read_ledger(file: Path) -> str:
    ledger_lines.cache_clear()  # a line that is left out is reported once in a process
    return json.dumps({key: asdict(entry) for key, entry in Ledger(file.parents[1]).entries().items()})


def _same_ledger(file: Path, result: str) -> bool:
    """Each whole line, the last of each key; a line without its end was not written completely."""
    lines = [json.loads(line) for line in file.read_text(errors="replace").split("\n")[:-1]]
    found = json.loads(result)
    return _holds(found, {line["key"]: line for line in lines}) and len(found) <= len(lines)


def _make_journal(folder: Path) -> Path:
    study = open_study(folder / "trials.journal", "fuzzed")
    for score in (0.25, 0.75, 0.5):
        trial = study.ask()
        trial.set_user_attr("values", {"lr": trial.suggest_float("lr", score, score)})
        study.tell(trial, score)
    return folder / "trials.journal"


def _read_journal(file: Path) -> str:
    trials = open_study(file, "fuzzed").get_trials(states=(TrialState.COMPLETE,))
    return json.dumps([[trial.user_attrs["values"], trial.values] for trial in trials])


def _first_trials(_: Path, result: str) -> bool:
    """A journal may lack its last lines, as if the search had been stopped before."""
    with tempfile.TemporaryDirectory() as folder:
        whole = json.loads(_read_journal(_make_journal(Path(folder))))
    return json.loads(result) in [whole[:count] for count in range(3)]


RUN_READERS = (
    Reader("record", _make_record, _read_record, "record.json", _same_json),
    Reader("exported runs", _make_export, _read_export, "runs.parquet"),
    Reader("experiment of a run", _make_started, _read_started, "experiment.json", _same_started),
    Reader("curves", _make_curves, _read_curves, "curves.jsonl", _same_curves),
    Reader("results of queries", _make_queries, _read_queries, "queries.parquet"),
    Reader("recipe (TOML)", _make_recipe, _read_recipe, "mine.toml", _same_recipe),
    Reader("option --set", _make_option, _read_option, "setting", _same_option),
    Reader("ranked strips", _make_gallery, _read_gallery, gallery.LISTS, _same_json),
    Reader("ledger of jobs", _make_ledger, _read_ledger, "ledger.jsonl", _same_ledger),
    Reader("journal of a search", _make_journal, _read_journal, "trials.journal", _first_trials),
)

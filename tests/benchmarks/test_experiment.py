"""What a run is, whatever settings come later, and what code decides its numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import exchange, experiment
from benchmarks.experiment import Experiment, code_digest
from benchmarks.records import experiment_of
from benchmarks.settings import LATER
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, experiments

MEASURED = Path(__file__).parents[2] / "results" / "measured"


def test_the_digest_follows_what_a_baselines_file_imports(tmp_path, monkeypatch):
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "mine.py").write_text("from .parts import layer\nfrom baselines.registry import register\n")
    (folder / "parts.py").write_text("from .deeper import width\n")
    (folder / "deeper.py").write_text("width = 1\n")
    (folder / "apart.py").write_text("width = 1\n")
    monkeypatch.setattr(experiment, "HOUSE", tmp_path)
    monkeypatch.setattr(experiment, "DECISIVE", ())
    entry = type("Entry", (), {"file": folder / "mine.py"})
    monkeypatch.setitem(experiment.BASELINES.entries, "mine", entry)
    run = Experiment("mine+afa", "mars", "mars", {}, 0, 0, "", "", "")

    def forget():
        for kept in (experiment._digest, experiment._code, experiment._with_imports):
            kept.cache_clear()

    def digest():
        forget()
        return code_digest(run)

    before = digest()
    (folder / "apart.py").write_text("width = 2\n")
    (folder / "parts.py").write_text("# a comment decides nothing\nfrom .deeper import width\n")
    assert digest() == before
    (folder / "deeper.py").write_text("width = 2\n")
    assert digest() != before
    forget()


def test_where_a_plugin_lies_is_not_what_it_is(tmp_path, monkeypatch):
    (tmp_path / "m" / "baselines").mkdir(parents=True)
    (tmp_path / "m" / "baselines" / "mean.py").write_text("width = 1\n")
    monkeypatch.setattr(experiment, "HOUSE", tmp_path / "m")
    monkeypatch.setattr(experiment, "DECISIVE", ())
    said = set()
    for place in ("a", "z"):  # before the project's folder, and behind it
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text("from baselines.mean import width\n")
        entry = type("Entry", (), {"file": tmp_path / place / "mine.py"})
        monkeypatch.setitem(experiment.BASELINES.entries, "mine", entry)
        for kept in (experiment._digest, experiment._code, experiment._with_imports):
            kept.cache_clear()
        said.add(code_digest(Experiment("mine", "mars", "mars", {}, 0, 0, "", "", "")))
    assert len(said) == 1


def test_records_older_than_a_setting_are_found_by_name_and_answer_the_question_that_is_asked_now(tmp_path):
    table = pq.read_table(MEASURED / "table4.parquet")
    written = json.loads(table.schema.metadata[exchange.RECORDS])
    for record in written:  # as it was before these settings came
        settings = record["experiment"]["settings"]
        record["experiment"]["settings"] = {key: settings[key] for key in settings if key not in LATER}
    pq.write_table(table.replace_schema_metadata({exchange.RECORDS: json.dumps(written)}), tmp_path / "old.parquet")
    found = exchange.exported(tmp_path / "old.parquet")
    assert {experiment_of(record).name for record in found} == {record["name"] for record in written}
    planned = experiments(SUITES.get("table4")(), Choice(("walkers",), seeds=3, quick=True))
    assert {each.experiment.question for each in planned} == {experiment_of(record).question for record in found}
    for record in found:
        assert LATER.items() <= record["experiment"]["settings"].items()


@pytest.mark.parametrize("key", LATER)
def test_a_later_setting_that_changes_something_is_another_run(key):
    other = {int: 7, float: 0.7}.get(type(LATER[key]), "other")
    before = Experiment("mean", "mars", "mars", {"epochs": 2}, 0, 0, "", "", "")
    neutral, changed = (replace(before, settings={"epochs": 2, key: value}) for value in (LATER[key], other))
    assert (neutral.identity, neutral.question) == (before.identity, before.question)
    assert changed.identity != before.identity
    assert changed.question != before.question

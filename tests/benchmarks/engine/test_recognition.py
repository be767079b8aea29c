"""A run of a model that learns attributes says how well it recognises them, and which of them no better than by a guess."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.adfdta import AttributeDriven
from benchmarks.data.find import find_dataset
from benchmarks.reporting.provenance import recognition_notes
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Recognition, Record, parse_record, record_to_json
from benchmarks.runs.store import read_record

NAME = "walkers-appearance:tiny"
RUN = ("run", "--method", "adfdta", "--dataset", NAME, "--epochs", 0)


def recorded(results: Path) -> Record:
    (folder,) = (path.parent for path in results.glob("*/record.json"))
    record = read_record(RunFolder(folder))
    assert record is not None
    return record


def test_shares_are_those_of_the_queries(bench, monkeypatch, tmp_path):
    """A model that always says the first value is right as often as it occurs."""
    monkeypatch.setattr(
        AttributeDriven,
        "recognise",
        lambda model, coherence: torch.zeros(len(coherence), len(model.groups), dtype=torch.int64),
    )
    assert bench(*RUN).status == 0
    world = find_dataset(NAME)
    table = world.tracklets()
    trained, asked = (table[table.subset == subset].pid for subset in ("train", "query"))
    people = world.attributes(None, sorted({*trained, *asked}))
    found = recorded(tmp_path / "runs").recognised
    assert found
    for name, values in people.items():
        known = sorted(set(values[trained.unique()]))
        if len(known) == 1:  # nothing to learn
            assert name not in found
            continue
        counts = Counter(value for value in values[asked] if value in known)
        if not counts:
            assert name not in found
            continue
        total = sum(counts.values())
        expected = Recognition(counts[known[0]] / total, max(counts.values()) / total, total)
        assert vars(found[name]) == pytest.approx(vars(expected))


def test_an_untrained_model_says_that_its_weights_mean_nothing(bench, tmp_path):
    answer = bench(*RUN)
    record = recorded(tmp_path / "runs")
    failed = [name for name, each in record.recognised.items() if each.accuracy <= each.majority]
    assert failed
    (note,) = recognition_notes([record])
    assert f"adfdta: on the queries, {len(failed)} of {len(record.recognised)} attributes" in note
    assert note.endswith(": " + ", ".join(failed))
    shown = bench("show", record.name).out
    assert note in shown
    assert f"{failed[0]} {100 * record.recognised[failed[0]].accuracy:.1f}" in shown
    assert note in " ".join(bench("table").out.split())
    assert answer.status == 0


def test_a_note_is_of_the_mean_over_runs(make_record):
    """Two runs, one above and one below the majority: what counts is their mean."""
    runs = [
        replace(make_record("adfdta", seed=seed), recognised={"hat": Recognition(accuracy, 0.5, 10)})
        for seed, accuracy in enumerate((0.75, 0.375))
    ]
    assert recognition_notes(runs) == []
    assert "1 of 1 attributes" in recognition_notes(runs[1:])[0]
    assert parse_record(record_to_json(runs[0]), "a file") == runs[0]
    assert "recognised" not in record_to_json(make_record())


def test_other_models_recognise_nothing(bench, tmp_path):
    assert bench("run", "--method", "mean", "--dataset", NAME, "--epochs", 0).status == 0
    assert recorded(tmp_path / "runs").recognised == {}

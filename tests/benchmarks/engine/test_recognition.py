"""A run of a model that learns attributes records how well it recognises them, and notes those that it only guesses."""

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
    """A model that always guesses the first value is right as often as that value occurs, and never on values new at test."""
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
    learned = {name: sorted(set(people.loc[trained.unique(), name])) for name in people}
    assert found.keys() == {name for name, values in learned.items() if len(values) > 1}
    new = 0
    for name in found:
        values = people.loc[asked, name]
        counts, total = Counter(values), len(values)
        new += len(set(values) - set(learned[name]))
        expected = Recognition(counts[learned[name][0]] / total, max(counts.values()) / total, total)
        assert vars(found[name]) == pytest.approx(vars(expected))
    assert new  # some values of the queries do not occur in training


def test_an_untrained_model_says_that_its_weights_say_little(bench, tmp_path):
    answer = bench(*RUN)
    record = recorded(tmp_path / "runs")
    (note,) = recognition_notes([("adfdta", [record])])
    assert "attributes are recognised on the queries no better than by always guessing the most frequent value" in note
    shown = bench("show", record.name).out
    assert note in shown
    name, found = next(iter(record.recognised.items()))
    assert f"{name} {100 * found.accuracy:.1f} ({100 * found.majority:.1f})" in shown
    assert note in " ".join(bench("table").out.split())
    assert "recognise" in record.phases
    assert answer.status == 0


def test_wrong_shape_is_refused_before_the_training(bench, monkeypatch):
    monkeypatch.setattr(AttributeDriven, "recognise", lambda model, coherence: torch.zeros(len(coherence), 1))
    line = bench(*RUN).err.splitlines()[-1]
    assert "recognise of AttributeDriven returned values of shape (2, 1) for 2 features" in line


def test_a_note_is_of_the_mean_over_the_runs_of_a_row(make_record):
    """The mean of two runs counts, one above and one below the majority."""
    runs = [
        replace(make_record("adfdta", seed=seed), recognised={"hat": Recognition(accuracy, 0.5, 10)})
        for seed, accuracy in enumerate((0.75, 0.375))
    ]
    assert recognition_notes([("adfdta", runs)]) == []
    (note,) = recognition_notes([("first", runs[:1]), ("second", runs[1:])])
    assert note.startswith("second: 1 of 1 attributes")
    assert note.endswith(": hat")
    assert parse_record(record_to_json(runs[0]), "a file") == runs[0]
    assert "recognised" not in record_to_json(make_record())


def test_what_cannot_be_judged_is_not_judged(make_record):
    """All queries have one value; nothing was measured; a model without attributes."""
    run = make_record("adfdta")
    one_value = replace(run, recognised={"coat": Recognition(1.0, 1.0, 12), "hat": Recognition(0.9, 0.5, 12)})
    assert recognition_notes([("adfdta", [one_value])]) == []
    unmeasured = "adfdta: whether attributes are recognised on the queries was not measured"
    assert recognition_notes([("adfdta", [run]), ("mean", [make_record("mean")])]) == [unmeasured]


def test_other_models_recognise_nothing(bench, tmp_path):
    assert bench("run", "--method", "mean", "--dataset", NAME, "--epochs", 0).status == 0
    assert recorded(tmp_path / "runs").recognised == {}

"""The index of records saves time and decides nothing: with it, every record is what its own file says."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.runs import record_index, store
from benchmarks.runs.folder import RunFolder
from benchmarks.runs.record import Environment, Git, record_to_json
from benchmarks.runs.record_index import FILE
from benchmarks.runs.store import load_records


@pytest.fixture
def records(make_record, results, monkeypatch):
    """Four finished runs that differ in all that an index shares, and their index."""
    monkeypatch.setattr(record_index, "WORTH_WRITING", 1)
    monkeypatch.setattr(record_index, "SETTLED", -60.0)  # these records have changed just now
    git = Environment(None, "CPU", None, "GPU", {"torch": None}, 2, "3.12", "Linux", libraries={"MKL": "1"})
    made = [
        make_record(seed=0),
        make_record("mean+afa", seed=1, sigma=0.1, lambda_=1e-05),
        replace(make_record(seed=2, cost=None), environment=git, data_notes={"walkers": "drawn"}),
        replace(make_record(seed=3), environment=replace(git, git=Git("ab", True)), left_out={"walkers": {"a": "b"}}),
    ]
    for record in made:
        folder = RunFolder(results / record.name)
        folder.path.mkdir(parents=True)
        folder.record.write_text(record_to_json(record))
    made.sort(key=lambda record: record.name)
    assert load_records(results) == made
    assert (results / FILE).is_file()
    return made


def change(results, record):
    """Another mAP in the record's file, of as many digits."""
    file = RunFolder(results / record.name).record
    text = file.read_text()
    file.write_text(text.replace('"mAP": 0.5', '"mAP": 0.4'))
    assert len(file.read_text()) == len(text) != text.count('"mAP": 0.4')
    return file


def test_records_from_the_index_are_those_of_the_files(records, results, monkeypatch):
    monkeypatch.setattr(store, "read_record", lambda folder: pytest.fail(f"{folder} was read again"))
    indexed = load_records(results)
    assert indexed == records
    assert [record_to_json(each) for each in indexed] == [record_to_json(each) for each in records]


@pytest.mark.parametrize("same_time", [False, True])
def test_changed_record_of_the_same_size_is_seen(records, results, same_time):
    file = RunFolder(results / records[1].name).record
    before = file.stat()
    change(results, records[1])
    if same_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [record.metrics[0].mAP for record in load_records(results)] == [0.5, 0.4, 0.5, 0.5]


def test_replaced_new_and_removed_records_are_seen(records, results, make_record):
    RunFolder(results / records[0].name).record.unlink()
    new = make_record(seed=9)
    (results / new.name).mkdir()
    RunFolder(results / new.name).record.write_text(record_to_json(new))
    assert load_records(results) == sorted([*records[1:], new], key=lambda record: record.name)


def test_damage_after_indexing_is_reported(records, results, capsys):
    file = RunFolder(results / records[2].name).record
    file.write_text(file.read_text().replace('"mAP": 0.5', '"mAP": 5.5'))
    for _ in range(2):
        assert load_records(results) == [*records[:2], records[3]]
        assert f"bench: left out: {file}: metrics.0.mAP: " in capsys.readouterr().err


def foreign(text):
    return "0 0\n" + text.partition("\n")[2].replace("0.5", "0.9")


@pytest.mark.parametrize(
    "damage",
    [lambda text: "", lambda text: text[: len(text) // 2], lambda text: text.replace("0.5", "0.9"), foreign],
    ids=["empty", "half", "changed", "foreign"],
)
def test_damaged_index_changes_nothing(records, results, capsys, damage):
    sound = (results / FILE).read_text()
    (results / FILE).write_text(damage(sound))
    assert load_records(results) == records
    assert capsys.readouterr().err == ""
    assert (results / FILE).read_text() == sound  # it was made again


def test_index_of_other_code_is_ignored(records, results, monkeypatch):
    """Other code may refuse a record that this code accepts."""
    monkeypatch.setattr(record_index, "_validating_code", lambda: "other")
    assert record_index.read_index(results) == {}


def test_index_that_cannot_be_written_changes_nothing(records, results):
    (results / FILE).unlink()
    (results / FILE / "folder").mkdir(parents=True)
    assert load_records(results) == records
    (results / FILE / "folder").rmdir()
    (results / FILE).rmdir()
    results.chmod(0o555)
    try:
        assert load_records(results) == records
    finally:
        results.chmod(0o755)


def test_record_that_has_just_changed_is_not_indexed(records, results, monkeypatch):
    """Two changes within one tick of the file system's clock could not be told apart."""
    monkeypatch.setattr(record_index, "SETTLED", 3600.0)
    (results / FILE).unlink()
    assert load_records(results) == records
    assert not (results / FILE).exists()


def test_record_that_had_just_changed_when_it_was_read_is_not_indexed(records, results, monkeypatch):
    """However long it then takes to read all others: what was read may be older than a second change in the same tick."""
    (results / FILE).unlink()
    read, clock = store.read_record, SimpleNamespace(now=time.time())

    def slowly(folder):
        clock.now += 60
        return read(folder)

    monkeypatch.setattr(record_index, "SETTLED", 30.0)
    monkeypatch.setattr(record_index, "time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(store, "read_record", slowly)
    assert load_records(results) == records
    assert sorted(record_index.read_index(results)) == [record.name for record in records[1:]]


def rewrite(results, times):
    for _ in range(times):
        record_index.update_index(results, {}, record_index.read_index(results))
    return len(record_index.read_index(results))


def test_readers_never_see_half_an_index(records, results):
    """Two processes write it in turn. What is read meanwhile has all entries."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        writers = pool.starmap_async(rewrite, [(results, 20)] * 2)
        while not writers.ready():
            json.loads((results / FILE).read_bytes().partition(b"\n")[2])
            assert len(record_index.read_index(results)) == 4
        assert writers.get() == [4, 4]
    assert load_records(results) == records

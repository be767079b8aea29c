"""The table of speeds, from JSON as pytest-benchmark keeps it."""

import csv
import json
import os

import pytest

from benchmarks.reporting.speed import grid
from benchmarks.speed.conftest import pytest_benchmark_update_machine_info

MACHINE = {
    "cpu": "a processor",
    "gpu": None,
    "cores": 2,
    "python": "3.11.9",
    "packages": {"torch": "2.14.1", "cv": None},
}
SLOW = {
    "what": "a step",
    "limit": "the bare loop",
    "ratio": 1.031,
    "target": 1.03,
    "better": "at most",
    "note": "a copy",
}
FAST = {"what": "loading", "limit": "Pillow", "ratio": 7.25, "target": 7, "better": "at least", "note": "not asked for"}
LIST = {"what": "`bench list`", "limit": "", "ratio": 0.21, "target": 0.3, "better": "at most", "unit": "s"}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A function that leaves a file as pytest-benchmark does, of the rows that its tests noted; the n-th is the newest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".benchmarks" / "Linux").mkdir(parents=True)

    def keep(*rows, name="0001_a.json", second=1):
        content = {
            "datetime": "2026-11-24T10:00:00+00:00",
            "machine_info": {"node": "somebodys-machine", "bench": MACHINE},
            "benchmarks": [{"name": "test", "extra_info": row, "stats": {"data": [1.0]}} for row in ({}, *rows)],
        }
        file = tmp_path / ".benchmarks" / "Linux" / name
        file.write_text(json.dumps(content))
        os.utime(file, (second, second))
        return file

    return keep


def test_rows_show_limit_and_target(bench, kept):
    kept(SLOW, FAST, LIST)
    rows = csv.reader(bench("speed", "--format", "csv").out.splitlines()[1:])
    assert [row[1:6] for row in rows] == [
        ["a step, compared with the bare loop", "", "1.031 x", "at most 1.03 x", "missed"],
        ["loading, compared with Pillow", "", "7.2 x", "at least 7 x", "met"],
        ["`bench list`", "", "0.21 s", "at most 0.3 s", "met"],
    ]


def test_notes_explain_missed_targets(bench, kept):
    kept(SLOW, FAST)
    said = bench("speed").out
    assert "missed: a step: a copy\n" in said
    assert "not asked for" not in said
    assert "a processor, 2 cores; 2026-11-24\nPython 3.11.9, torch 2.14.1\n" in said


def test_newest_run_is_the_default(bench, kept):
    older = kept(SLOW, name="0002_b.json", second=1)
    kept(LIST, name="0001_a.json", second=2)
    assert "bench list" in bench("speed").out
    assert "a step" in bench("speed", "--from", older).out


def test_written_file_gives_the_same_table(bench, kept, tmp_path):
    kept(SLOW, FAST, LIST)
    shown = bench("speed", "--to", tmp_path / "speed.json").out
    assert bench("speed", "--from", tmp_path / "speed.json").out == shown
    assert "somebodys-machine" not in (tmp_path / "speed.json").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("{", "not a file of"),
        ("[" * 10**5, "not a file of"),
        ("[]", "not a file of"),
        ('{"benchmarks": []}', "not a file of"),
    ],
)
def test_other_file_is_refused_by_name(bench, tmp_path, content, words):
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    answer = bench("speed", "--from", file)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert f"{file}: {words}" in answer.err


def test_missing_measurement_has_a_hint(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = bench("speed")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "make speed" in answer.err


def test_the_machine_of_a_measurement_is_plain_json():
    machine = {}
    pytest_benchmark_update_machine_info(None, machine)
    read = json.loads(json.dumps(machine))
    *_, packages = grid({"datetime": "2026-11-24T10:00:00", "machine_info": read, "benchmarks": []}).notes
    assert "torch 2." in packages

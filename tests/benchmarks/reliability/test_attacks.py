"""The short form of `make hurt`, and that an attack notices what must not be."""

import json
import os
import subprocess
import sys

import pytest

from baselines.interface.errors import UserError
from benchmarks.reliability import __main__
from benchmarks.reliability.fuzz import fuzz
from benchmarks.reliability.mutations import mutate
from benchmarks.reliability.reader import Reader
from benchmarks.reliability.readers import READERS

GROUPS = ("killed", "broken", "at once")


def test_short_form_loses_nothing(tmp_path):
    only = [word for group in GROUPS for word in ("--only", group)]
    command = [
        sys.executable,
        "-m",
        "benchmarks.reliability",
        "--scale",
        "0.05",
        *only,
        "--to",
        str(tmp_path / "found.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == {"made", *GROUPS}
    assert sum(each["tried"] for each in found["killed"]) == 6
    assert all(each["tried"] or each["skipped"] for group in GROUPS[1:] for each in found[group])


@pytest.mark.parametrize("reader", READERS, ids=lambda each: each.name)
def test_reader_refuses_or_reads_right(tmp_path, reader):
    outcome = fuzz(reader, 50, tmp_path / "files", tmp_path / "kept")
    assert outcome.faults == []
    assert outcome.tried == sum(outcome.counts.values()) == 50
    assert outcome.counts["refused"] > 10


def faulty(content):
    """What bad readers do: of a number at the start of the file."""
    kind = content[0] % 6
    if kind == 0:
        raise UserError("file.bin: refused")
    if kind == 1:
        raise UserError("refused")
    if kind == 2:
        os._exit(3)
    if kind == 3:
        return bytearray(8 * 2**30)
    if kind == 4:
        raise ValueError
    return content


def test_every_kind_of_fault_is_noticed(tmp_path):
    def make(folder):
        (folder / "file.bin").write_bytes(b"\x05" + bytes(20))
        return folder / "file.bin"

    reader = Reader("faulty", make, lambda file: faulty(file.read_bytes() or b"\0"), "file.bin")
    outcome = fuzz(reader, 150, tmp_path / "files", tmp_path / "kept")
    for fault in ("without the place", "ends with 3", "MemoryError", "ValueError", "another result, unnoticed"):
        assert any(fault in line for line in outcome.faults), fault
    assert outcome.tried == 150
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == 20
    number = int(kept[0].stem.rpartition("-")[2])
    assert kept[0].read_bytes() == mutate(b"\x05" + bytes(20), number)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "inputs"), "--only needs --to FILE"),
        (("--only", "input", "--to", "found.json"), "invalid choice: 'input'"),
        (("--only", "guided", "--to", "found.json"), "--only guided needs --guided SECONDS"),
    ],
)
def test_a_part_is_named_and_never_replaces_the_whole(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["reliability", *options])
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

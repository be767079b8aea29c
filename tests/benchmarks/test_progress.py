"""What long work shows: bars that fit a terminal of 80 columns, plain lines elsewhere."""

import io
import re
import sys

from benchmarks.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_fits_80_columns(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    note = "triplet 0.693  class 12.345  coherence 123.456"
    with show_progress() as report:
        report("train", 62500, 125000, note)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    for word in ("train", "62500/125000", "left", *note.split()):
        assert word in text
    assert "…" not in text
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= 80


def test_progress_lines_without_a_terminal(monkeypatch, capsys):
    with show_progress() as report:
        report("read", 0, 10, "mars")
        report("read", 10, 10, "mars")
    assert [line.split("  ")[-1] for line in capsys.readouterr().err.splitlines()] == ["mars", "mars"]

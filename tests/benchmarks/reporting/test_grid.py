"""A table in every format: nothing in a cell can break it."""

import csv
import html.parser
import io
import shutil
import subprocess

import pytest

from benchmarks.reporting.grid import Grid, page

NASTY = [r"a_b & 50% #1 {x} \y ~ ^2 <script>alert(1)</script>", "[best] $5", '"q", ± 0.3']
GRID = Grid(
    "walkers → <b>",
    ("method", "R1 Δ", "mAP/x"),
    [NASTY, ["mean", "80.1 ± 0.2", "−1.0"]],
    ["note_1 & <i>"],
    frozenset({(1, 1)}),
)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: LaTeX tables are not compiled")
def test_latex_compiles(tmp_path):
    wide = Grid("wide", [f"column {number}" for number in range(14)], [["61.7 ± 4.9"] * 14])
    text = page([GRID, GRID, wide], "latex")
    packages = "\\usepackage{booktabs,graphicx}"
    document = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "textbf{80.1 $\\pm$ 0.2}" in text


def test_html_is_escaped():
    class Reader(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.texts = set(), []

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)

        def handle_data(self, data):
            self.texts.append(data)

    reader = Reader()
    reader.feed(page([GRID], "html"))
    assert reader.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "p"}
    assert set(NASTY) < set(reader.texts)


def test_csv_is_read_back():
    rows = list(csv.reader(io.StringIO(page([GRID], "csv"))))
    note = GRID.notes[0]
    assert rows == [
        ["data set", *GRID.head, "notes"],
        [GRID.title, *NASTY, note],
        [GRID.title, *GRID.rows[1], note],
    ]


def test_csv_heads_are_unique():
    grid = Grid("walkers", ("method", "R1", "paper", "mAP", "paper"), [["mean", "1", "2", "3", "4"]])
    assert page([grid], "csv").splitlines()[0] == "data set,method,R1,R1 paper,mAP,mAP paper,notes"


def test_markdown_is_escaped():
    (row,) = [line for line in page([Grid("t", ("a", "b"), [["x|y", "<b>"]])], "github").splitlines() if "x" in line]
    assert row.replace("\\|", "").count("|") == 3
    assert "&lt;b>" in row


def test_best_is_bold_unless_piped():
    assert "**80.1 ± 0.2**" in page([GRID], "github")
    assert "80.1±0.2" in page([GRID], "terminal")

"""Every figure in the documents is what its command prints now."""

import re
from pathlib import Path

from benchmarks.maintenance.render_documents import BLOCK, render

FIGURES = Path(__file__).parents[2] / "results" / "figures"


def test_documents_are_rendered(document):
    text = document.read_text()
    drawn = {file: file.read_bytes() for file in FIGURES.iterdir()}
    assert render(text) == text, f"python -m benchmarks.maintenance.render_documents {document.name}"
    assert {file: file.read_bytes() for file in FIGURES.iterdir()} == drawn


def test_forest_plot_is_of_all_records():
    text = (FIGURES.parents[1] / "docs" / "results.md").read_text()
    (command,) = (words for _, kind, words, _ in BLOCK.findall(text) if kind == "bench" and "figure forest" in words)
    records = {f"results/measured/{file.name}" for file in (FIGURES.parent / "measured").glob("*.parquet")}
    assert {word for word in command.split() if word.endswith(".parquet")} == records


def test_python_block_is_rendered():
    text = "<!-- python\nprint(6 * 7)\n-->\n41\n<!-- end -->"
    assert render(text) == "<!-- python\nprint(6 * 7)\n-->\n42\n<!-- end -->"
    assert BLOCK.search(text)


def test_findings_take_two_hundred_words():
    """The README's first answer is short: its words, without numbers, code and the targets of links."""
    text = (FIGURES.parents[1] / "README.md").read_text()
    findings = text.partition("## What it found")[2].partition("\n## ")[0]
    shown = re.sub(r"<!--.*?-->|!\[.*?\]\(.*?\)|(?<=\])\(.*?\)", "", findings, flags=re.DOTALL)
    assert 100 < len(re.findall(r"\S*[A-Za-z]\S*", shown)) <= 200

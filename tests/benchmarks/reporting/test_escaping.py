"""Random names with markup of every format: a reader of the format gives back the text, and nothing else."""

import csv
import html.parser
import io
import random
import re
import shutil
import subprocess

import pytest
from markdown_it import MarkdownIt

from benchmarks.reporting.grid import TEX, Grid, page
from benchmarks.reporting.report.html import el

PIECES = (
    *"abc 12.,:;=+-@\"'\\/|<>&%$#_{}~^*[]()!?µ−±",
    *("<script>alert(1)</script>", "<img src=x onerror=a>", "&lt;", "&#60;", "![a](http://b.c)", "[a](b)", "**", "__", "~~"),
    *("http://a.b/c", "www.a.b", "a@b.cd", r"\input{/etc/hostname}", r"\\", "$(id)", "=cmd|'/C calc'!A0", "+1", "-2.5"),
    *("@SUM(1)", "walkers@2:tiny", "mean+afa", "a_b", "-->", "' onclick='", '" onclick="', "]]>"),
)  # fmt: skip


def texts(count, seed=0):
    """Random texts of up to five pieces, without spaces at their ends."""
    draw = random.Random(seed)
    made = ("".join(draw.choices(PIECES, k=draw.randint(1, 5))).strip() for _ in range(count))
    return [" ".join(text.split()) or "x" for text in made]


def grid(seed):
    title, note, *cells = texts(14, seed)
    head, *rows = [cells[start : start + 3] for start in range(0, 12, 3)]
    return Grid(title, head, rows, [note], frozenset({(0, 1)}))


class Reader(html.parser.HTMLParser):
    """The tags of a page, and its texts in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes = set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("seed", range(30))
def test_html_gives_the_texts_back(seed):
    made = grid(seed)
    read = Reader(page([made], "html"))
    assert read.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "p"}
    expected = [made.title, *made.head, *(cell for row in made.rows for cell in row), *made.notes]
    assert [text for text in read.texts if text.strip()] == expected
    for text in expected:
        (tag,) = Reader(str(el("p", text, title=text))).attributes
        assert tag == ("title", text)


@pytest.mark.parametrize("seed", range(30))
def test_markdown_gives_the_texts_back(seed):
    made = grid(seed)
    read = Reader(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(page([made], "github")))
    assert read.tags <= {"table", "thead", "tbody", "tr", "th", "td", "strong", "p", "sub", "br"}
    expected = [made.title, *made.head, *(cell for row in made.rows for cell in row), *made.notes]
    found = "".join(text for text in read.texts if text.strip())
    assert re.sub(r"\s|\*", "", found) == re.sub(r"\s|\*", "", "".join(expected))


@pytest.mark.parametrize("text", ["http://a.b/c", "www.a.b", "a@b.cd"])
def test_markdown_makes_no_links(text):
    """GitHub links bare addresses; a letter of it is escaped."""
    assert text not in page([Grid("t", ("a", "b"), [["x", text]])], "github")
    assert "walkers@2:tiny" in page([Grid("t", ("a", "b"), [["x", "walkers@2:tiny"]])], "github")


@pytest.mark.parametrize("seed", range(30))
def test_csv_has_no_formula(seed):
    made = grid(seed)
    _, *rows = csv.reader(io.StringIO(page([made], "csv")))
    for row, cells in zip(rows, made.rows, strict=True):
        for found, text in zip(row, [made.title, *cells, *made.notes], strict=True):
            assert found in (text, f"'{text}")
            if found[:1] in tuple("=+-@") and found not in ("+", "-"):
                float(found)


@pytest.mark.parametrize(
    "cell", ["-1.5", "+3.2", "-", "+1.2 (+0.4 to +2.0)", "-1.0 to +0.6", "-0.3 ± 0.1", "80.1 ± 0.2", "−1.0", "-12%"]
)
def test_figures_stay_figures_in_csv(cell):
    assert page([Grid("t", ("a", "b"), [["x", cell]])], "csv").splitlines()[1] == f"t,x,{cell},"


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", " =1", "-1.5=A1", "+1 (+1 to A1)"])
def test_formulas_are_text_in_csv(cell):
    assert next(csv.reader([page([Grid("t", ("a", "b"), [["x", cell]])], "csv").splitlines()[1]]))[2] == f"'{cell}"


@pytest.mark.parametrize("seed", range(30))
def test_latex_has_no_command_of_a_name(seed):
    made = grid(seed)
    known = "|".join(re.escape(each) for each in sorted(set(TEX.values()), key=len, reverse=True))
    cells = [page([Grid("t", ("h",), [[cell]])], "latex") for row in made.rows for cell in row]
    for text, cell in zip(cells, (cell for row in made.rows for cell in row), strict=True):
        lines = text.splitlines()
        line = lines[lines.index(r"\midrule") + 1]
        assert line.endswith(r" \\")
        left = re.sub(known, "", line.removesuffix(r" \\"))
        assert not set(re.sub(r"^\{([*\[])\}", r"\1", left)) & set("\\&%$#_{}~^"), (cell, line)


def test_letters_without_a_font_keep_their_code_in_latex():
    text = page([Grid("山", ("a", "b"), [["café – straße", "я"]])], "latex")
    assert r"\caption{U+5C71}" in text
    assert r"café – straße & U+044F \\" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: LaTeX tables are not compiled")
def test_latex_of_random_names_compiles(tmp_path):
    made = [grid(seed) for seed in range(10)]
    made.append(
        Grid(
            "行人 пешеход",
            ("a", "Ελλάς", "日本"),
            [["José Müller", "Łódź Ångström", "Çağrı"], ["🚶", "e\u0301", "a\u0000"]],
        )
    )
    text = page([Grid(each.title, each.head, [*each.rows, ["*", "[", "-"]], each.notes) for each in made], "latex")
    document = (
        f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{text}\n\\end{{document}}\n"
    )
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]

"""A table of texts in the formats of terminals, repositories, papers and web pages."""

import csv
import html
import io
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from shutil import get_terminal_size
from textwrap import fill

STYLES = ("terminal", "github", "latex", "html", "csv")
BOLD = ("\033[1m", "\033[0m")
FORMULA = ("=", "+", "-", "@")  # what a formula of a spreadsheet begins with
WIDTH, NARROWEST = 100, 16  # characters, at least: of a table at a terminal, and of its labels


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        rows: lists of texts as long as `head`, the first of each a label.
        bold: (row, column) of the cells in bold.
        headings: by row, a line above it. CSV has none.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    bold: frozenset[tuple[int, int]] = frozenset()
    headings: Mapping[int, str] = field(default_factory=dict)


def page(grids: Sequence[Grid], style: str) -> str:
    """Tables as one text. In CSV a head is written where it changes, and each row carries the notes of its table."""
    if style != "csv":
        return "\n\n".join(DRAW[style](_headed(grid)) for grid in grids)
    out, head = io.StringIO(), None
    lines = csv.writer(out, lineterminator="\n")
    for grid in grids:
        if grid.head != head:
            lines.writerow(map(_plain, ["data set", *unique_names(grid.head), "notes"]))
        head = grid.head
        lines.writerows(map(_plain, [grid.title, *row, "; ".join(grid.notes)]) for row in grid.rows)
    return out.getvalue().rstrip()


def signed(points: float) -> str:
    """A difference in points: `+1.2`, `-0.4`, or `0.0` where it rounds to that."""
    text = f"{points:+.1f}"
    return text.lstrip("+-") if float(text) == 0 else text


def span(low: float, high: float) -> str:
    """`-0.4 to +1.2`: an interval of a difference, given as fractions, in points."""
    return f"{signed(100 * low)} to {signed(100 * high)}"


NUMBER = r"[-+]?\d+(,\d{3})*(\.\d+)?"
FIGURES = re.compile(rf"[-+]?|{NUMBER}( (±|to) {NUMBER})?( \({NUMBER} to {NUMBER}\))?%?")


def _plain(cell: str) -> str:
    """A cell of CSV that no spreadsheet takes for a formula: an apostrophe comes first, unless the cell is a figure."""
    return f"'{cell}" if cell.lstrip()[:1] in FORMULA and not FIGURES.fullmatch(cell) else cell


def paragraph(text: str, style: str) -> str:
    """A text beside the tables of a page. CSV, which holds nothing else than tables, has none."""
    return "" if style == "csv" else PARAGRAPHS[style](text)


def _headed(grid: Grid) -> Grid:
    """The table with its headings as rows of their own."""
    rows: list[Sequence[str]] = []
    bold = set()
    for number, row in enumerate(grid.rows):
        if number in grid.headings:
            rows.append([grid.headings[number], *[""] * (len(grid.head) - 1)])
        bold |= {(len(rows), column) for bold_row, column in grid.bold if bold_row == number}
        rows.append(row)
    return replace(grid, rows=rows, bold=frozenset(bold), headings={})


def unique_names(head: Sequence[str]) -> list[str]:
    """A table's head with every name once: `R1 paper`, `R1 Δ`."""
    names, last = [], ""
    for name in head:
        last = name if head.count(name) == 1 else last
        names.append(name if name == last else f"{last} {name}")
    return names


def _marked(grid: Grid, before: str, after: str) -> list[list[str]]:
    return [
        [f"{before}{cell}{after}" if (row, column) in grid.bold else cell for column, cell in enumerate(cells)]
        for row, cells in enumerate(grid.rows)
    ]


def _tabulated(head: Sequence[str], body: list[list[str]], form: str, label: int | None = None) -> str:
    from tabulate import tabulate

    sides = ("left", *["right"] * (len(head) - 1))
    widths = [label, *[None] * (len(head) - 1)] if label else None
    return tabulate(body, head, tablefmt=form, colalign=sides, maxcolwidths=widths, disable_numparse=True)


def _terminal(grid: Grid) -> str:
    """Heads on two lines and no space around ±, to leave room for the labels."""
    head = [each.replace(" ", "\n").replace("/", "\n/") for each in grid.head]
    plain = [[row[0], *(each.replace(" ± ", "±") for each in row[1:])] for row in grid.rows]
    columns = list(zip(head, *plain, strict=True))[1:]
    figures = sum(2 + len(max(f"{name}  ".split("\n") + cells, key=len)) for name, *cells in columns)
    body = _marked(replace(grid, rows=plain), *(BOLD if sys.stdout.isatty() else ("", "")))
    width = max(WIDTH, get_terminal_size((WIDTH, 0)).columns)
    drawn = _tabulated(head, body, "simple", max(NARROWEST, width - figures))
    notes = (fill(note, width, subsequent_indent="  ", break_on_hyphens=False) for note in grid.notes)
    return "\n".join([grid.title, drawn, *notes])


# What Markdown reads as markup: these letters, `_` beside a word, and what GitHub turns into a link. Backticks stay: notes of our
# own have them, and what they make is text in another font.
MARKUP = re.compile(r"[\\*\[|~]|(?<!\w)_|_(?!\w)|@(?=[\w-]+\.)|:(?=//)|(?<=\bwww)\.", re.IGNORECASE)


def _markdown(text: str) -> str:
    """A text as Markdown that shows it letter by letter."""
    return MARKUP.sub(r"\\\g<0>", text).replace("&", "&amp;").replace("<", "&lt;")


def _github(grid: Grid) -> str:
    safe = replace(grid, rows=[[_markdown(cell) for cell in row] for row in grid.rows])
    drawn = _tabulated(list(map(_markdown, grid.head)), _marked(safe, "**", "**"), "github")
    notes = (f"<sub>{_markdown(note)}</sub><br>" for note in grid.notes)
    return "\n".join([f"**{_markdown(grid.title)}**", "", drawn, "", *notes])


def _latex(grid: Grid) -> str:
    """A table for booktabs and graphicx, no wider than the lines of the page."""
    lines = [" & ".join(map(_tex, grid.head)) + r" \\", r"\midrule"]
    for row, cells in enumerate(grid.rows):
        texts = [_tex(cell) for cell in cells]
        texts = [rf"\textbf{{{text}}}" if (row, column) in grid.bold else text for column, text in enumerate(texts)]
        lines.append(" & ".join(texts) + r" \\")
    notes = [rf"\\[2pt] {_tex(note)}" for note in grid.notes]
    columns = "l" + "r" * (len(grid.head) - 1)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(grid.title)}}}",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            *notes,
            r"\end{table}",
        ]
    )


TEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "−": "$-$",
    "Δ": r"$\Delta$",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
}
ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327"  # grave to cedilla: those that LaTeX sets on any letter
OTHER_LETTERS = "ßæøœÆØŒłŁ–—‘’“”…"


def _tex(text: str) -> str:
    """A text that LaTeX sets without further packages. A letter that needs a font of its own, such as 山, becomes U+5C71."""
    escaped = "".join(TEX.get(letter) or (letter if _is_latin(letter) else f"U+{ord(letter):04X}") for letter in text)
    return re.sub(r"^\s*[\[*]", r"{\g<0>}", escaped)  # after the end of a row, they would belong to its command


def _is_latin(letter: str) -> bool:
    decomposed = unicodedata.normalize("NFD", letter)
    base, marks = decomposed[0], decomposed[1:]
    return letter in OTHER_LETTERS or (
        base.isascii() and base.isprintable() and len(marks) <= 1 and set(marks) <= set(ACCENTS)
    )


def _html(grid: Grid) -> str:
    def line(tag: str, cells: Sequence[str], row: int = -1) -> str:
        texts = [html.escape(cell) for cell in cells]
        texts = [f"<b>{text}</b>" if (row, column) in grid.bold else text for column, text in enumerate(texts)]
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    return "\n".join(
        [
            "<table>",
            f"<caption>{html.escape(grid.title)}</caption>",
            f"<thead>{line('th', grid.head)}</thead>",
            "<tbody>",
            *(line("td", row, number) for number, row in enumerate(grid.rows)),
            "</tbody>",
            "</table>",
            *map(_html_paragraph, grid.notes),
        ]
    )


def _html_paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


DRAW = {"terminal": _terminal, "github": _github, "latex": _latex, "html": _html}
PARAGRAPHS: dict[str, Callable[[str], str]] = {
    "terminal": str,
    "github": _markdown,
    "latex": _tex,
    "html": _html_paragraph,
}

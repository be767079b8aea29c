"""Tables as HTML: sections with notes, rows that sort, and the form that filters them."""

import re
from typing import Any

import pandas as pd

from .contents import FILTERS, Section
from .html import Markup, cells, el, scrolling

NUMBER = re.compile(r"[-+]?\d")
MOST_ROWS = 1000  # of a table


def table_section(section: Section, name: str, most: int, level: str = "h2") -> Markup:
    """A table with its title and its notes; `most` rows of it."""
    notes = [el("p", note, class_="note") for note in section.notes]
    return el(
        "section", el(level, section.title), table(section.frame, section.title, most), notes, id=name, class_="table"
    )


def filters(frames: list[pd.DataFrame]) -> Markup:
    """A choice for each of `FILTERS`; hidden until the script that filters is loaded."""
    choices = []
    for name in FILTERS:
        values = sorted({str(value) for frame in frames if name in frame for value in frame[name]})
        options = [el("option", f"every {name}", value=""), [el("option", value) for value in values]]
        choices.append(el("label", el("span", name), el("select", options, name=_key(name))))
    return el("form", choices, el("p", role="status"), class_="filters", hidden=True)


def table(frame: pd.DataFrame, label: str, most: int = MOST_ROWS) -> Markup:
    """Rows of text, numbers or markup. Columns of numbers are aligned to the right; a long table is cut."""
    cut = frame.head(most)
    kept = [name for name in FILTERS if name in frame]
    shown = [name for name in frame if name not in kept or (name != "baseline" and frame[name].nunique() > 1)]
    right = {name for place, name in enumerate(shown) if (any if place else all)(map(_is_number, cut[name]))}
    head = el("tr", [el("th", name, scope="col", class_="number" if name in right else None) for name in shown])
    columns = [cut.columns.get_loc(name) for name in shown]
    known = [(_key(name), cut.columns.get_loc(name)) for name in kept]
    stands_right = [name in right for name in shown]
    rows = [
        el("tr", cells((row[i] for i in columns), stands_right), **{f"data_{key}": row[i] for key, i in known})
        for row in cut.itertuples(index=False, name=None)
    ]
    made = scrolling(el("table", el("thead", head), el("tbody", rows), class_="sortable"), label)
    if len(frame) <= most:
        return made
    return el("div", el("p", f"The first {most:,} of {len(frame):,} rows.", class_="note"), made)


def _key(name: str) -> str:
    return name.replace(" ", "-")


def _is_number(value: Any) -> bool:
    """Whether the visible text of a cell begins with a number."""
    text = re.sub(r"<[^>]*>", "", value.html) if isinstance(value, Markup) else str(value)
    return NUMBER.match(text) is not None

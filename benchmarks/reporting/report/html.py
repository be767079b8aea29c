"""Escaped HTML: a `str` is text, and only what these functions return is markup."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).with_name("assets")
VOID = {"meta", "link", "img"}  # elements without an end tag


@dataclass(frozen=True)
class Markup:
    """Text that is already HTML. It is not a `str`, because pandas would turn a subclass into a plain string."""

    html: str

    def __str__(self) -> str:
        return self.html


def el(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. Children are text (which is escaped), markup, or lists of both; None is left out.

    In attributes, `_` stands for `-`, and a last `_` is dropped (`class_`). True is a bare attribute; None and False are left
    out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is True:
            words.append(_attribute(key))
        elif value is not None and value is not False:
            words.append(f'{_attribute(key)}="{escape(str(value))}"')
    begin = f"<{' '.join(words)}>"
    return Markup(begin if name in VOID else f"{begin}{_html(children)}</{name}>")


def cells(values: Iterable[Any], numbers: Iterable[bool]) -> Markup:
    """The cells of a row, numbers to the right. Without `el` for speed: a large report has a million cells."""
    opened = ('<td class="number">' if number else "<td>" for number in numbers)
    return Markup("".join(f"{begin}{_html(value)}</td>" for begin, value in zip(opened, values, strict=True)))


def join(children: Any) -> Markup:
    """Text and markup in nested lists, one after the other."""
    return Markup(_html(children))


def _html(children: Any) -> str:
    """The most frequent type is tested first: a large report calls this a million times."""
    if isinstance(children, str):
        return escape(children, quote=False)
    if isinstance(children, Markup):
        return children.html
    if children is None:
        return ""
    if isinstance(children, Iterable):
        return "".join(map(_html, children))
    return escape(str(children), quote=False)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


PAGES = {"Overview": "index.html", "Tables": "tables.html", "Runs": "runs.html", "Figures": "figures.html"}


def page(title: str, *body: Any, current: str = "", up: str = "", navigation: bool = True) -> str:
    """A whole page.

    Args:
        current: the page's name in the navigation.
        up: the path from the page to the report's folder: "" or "../".
        navigation: False for a page that stands alone.
    """
    links = [
        el("a", name, href=up + target, aria_current="page" if name == current else None)
        for name, target in PAGES.items()
    ]
    header = el(
        "header",
        el("a", "To the content", class_="skip", href="#content"),
        el("a", el("b", "AFA bench"), " ", el("span", "report"), class_="brand", href=f"{up}index.html"),
        el("nav", links, aria_label="Pages"),
    )
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} - AFA bench"),
        el("link", rel="stylesheet", href=f"{up}report.css"),
        el("link", rel="icon", href="data:,"),
        *([el("script", defer=True, src=f"{up}report.js")] if navigation else []),
    ]
    content = el("main", body, id="content", tabindex="-1")
    html = el("html", el("head", head), el("body", header if navigation else None, content), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def scrolling(table: Markup, label: str) -> Markup:
    """A wide table that scrolls by touch and keyboard, and does not widen the page."""
    return el("div", table, class_="scroll", role="region", aria_label=label, tabindex="0")


def pairs(values: dict[str, Any]) -> Markup:
    """Names and their values as a description list."""
    return el("dl", [el("div", [el("dt", name), el("dd", value)]) for name, value in values.items()])

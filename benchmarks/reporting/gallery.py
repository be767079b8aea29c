"""Ranked lists as pictures: a strip of frames for each tracklet, framed as right or wrong, worst queries first.

A folder holds a PNG for each tracklet, `gallery.json`, which describes them, and `index.html`, which opens without a server.
"""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.reporting.report.html import ASSETS, Markup, el, page
from benchmarks.runs.record import Record

if TYPE_CHECKING:
    from benchmarks.runs.ranked_lists import RankedQuery, ShownTracklet

LISTS = "gallery.json"
MOST_FRAMES = 8  # in a strip
RIGHT, WRONG = "✓ right", "✗ wrong"


def save(record: Record, protocol: str, ranked: Sequence["RankedQuery"], folder: Path) -> Path:
    """Write strips, their description and a page to `folder`, replacing what an earlier call wrote; returns the page's file."""
    if (folder / LISTS).exists():
        shutil.rmtree(folder)
    lists = []
    for number, each in enumerate(ranked, 1):
        query = _describe(each.query, folder / f"{number:03}-query.png")
        gallery = [
            {
                **_describe(shown, folder / f"{number:03}-rank{rank:02}.png"),
                "right": shown.is_match,
                "distance": round(shown.distance, 4),
            }
            for rank, shown in enumerate(each.gallery, 1)
        ]
        figures = {"average_precision": each.average_precision, "first_hit_rank": each.first_hit_rank}
        lists.append({"query": query, "gallery": gallery, **figures})
    described = {"run": record.name, "protocol": protocol, "lists": lists}
    write_atomically(folder / LISTS, json.dumps(described, indent=1))
    shutil.copy(ASSETS / "report.css", folder)
    title = f"Ranked strips of {record.name}"
    body = [el("h1", title), section(described, "")]
    write_atomically(folder / "index.html", page(title, body, navigation=False))
    return folder / "index.html"


def read(folder: Path) -> dict[str, Any] | None:
    """The description that `save` wrote to the folder; None if it wrote none."""
    file = folder / LISTS
    return dict(json.loads(file.read_text())) if file.exists() else None


def files(described: dict[str, Any]) -> list[str]:
    """The names of the strips' files."""
    return [shown["file"] for each in described["lists"] for shown in (each["query"], *each["gallery"])]


def section(described: dict[str, Any], folder: str) -> Markup:
    """The lists as HTML, `folder` being the path from the page to the strips: "" or "NAME/"."""
    weighted = any(each["query"]["quality"] for each in described["lists"])
    legend = el(
        "p",
        f"Protocol {described['protocol']}; the queries with the lowest average precision first. Frames as the network sees "
        "them, up to 8 evenly from each tracklet. Tracklets of the query's person have a solid frame and ",
        el("b", RIGHT),
        ", the others a dashed frame and ",
        el("b", WRONG),
        ".",
        " Below each frame is the weight that the baseline gives it (for qan its quality), darker where it is greater."
        if weighted
        else None,
        class_="note",
    )
    return el("div", legend, [_list(each, folder) for each in described["lists"]], class_="lists")


def _list(each: dict[str, Any], folder: str) -> Markup:
    query = each["query"]
    head = f"Query {query['tracklet']}"
    figures = (
        f"average precision {100 * each['average_precision']:.1f}%, first right one at rank {each['first_hit_rank']}"
    )
    ranked = [
        el("li", _strip(shown, folder, f"Rank {rank}", shown["right"], f"distance {shown['distance']:g}"))
        for rank, shown in enumerate(each["gallery"], 1)
    ]
    return el(
        "section",
        el("h3", head),
        el("p", figures, class_="note"),
        _strip(query, folder, "Query", None, ""),
        el("ol", ranked, class_="ranked"),
        class_="list",
    )


def _strip(shown: dict[str, Any], folder: str, position: str, right: bool | None, more: str) -> Markup:
    mark = "" if right is None else RIGHT if right else WRONG
    who = f"person {shown['pid']}, camera {shown['camid']}"
    alt = f"{position}{': ' + mark[2:] if mark else ''}, {who}, {shown['shown']} frames of {shown['tracklet']}"
    words = el("figcaption", el("b", position, " ", mark), " ", el("span", who, f", {more}" if more else ""))
    image = el("img", src=folder + shown["file"], alt=alt, width=shown["width"], height=shown["height"], loading="lazy")
    part = f"width: {100 * shown['shown'] / MOST_FRAMES:g}%"  # so that frames are equally large in every strip
    frames = el("div", image, _quality(shown["quality"]), class_="frames", style=part)
    kind = {None: "query", True: "right", False: "wrong"}[right]
    return el("figure", words, frames, class_=f"strip {kind}")


def _quality(values: list[float] | None) -> Markup | None:
    if not values:
        return None
    most = max(values)
    marks = [el("span", f"{value:.2f}", class_=f"q{math.floor(4 * value / most + 0.5)}") for value in values]
    return el("div", marks, class_="quality")


def _describe(shown: "ShownTracklet", file: Path) -> dict[str, Any]:
    """Write the strip to `file`, and describe it."""
    strip = np.concatenate(list(shown.frames), axis=1)
    import cv2

    with atomic_file(file) as half:
        half.write_bytes(cv2.imencode(".png", strip[..., ::-1])[1].tobytes())
    return {
        "tracklet": shown.tracklet,
        "pid": shown.pid,
        "camid": shown.camid,
        "file": file.name,
        "shown": len(shown.frames),
        "width": strip.shape[1],
        "height": strip.shape[0],
        "quality": None if shown.weights is None else [round(float(value), 4) for value in shown.weights],
    }

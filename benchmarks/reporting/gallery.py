"""Ranked lists as pictures: a strip of frames for each tracklet, framed as right or wrong, worst queries first.

A folder holds a PNG for each tracklet, `gallery.json`, which describes them, and `index.html`, which opens without a server.
"""

import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file, naming, write_atomically
from benchmarks.reporting.report.html import ASSETS, Markup, el, page
from benchmarks.runs.field_types import Amount, Count, Fraction, Name
from benchmarks.runs.record import Record, parse, to_json
from benchmarks.runs.store import leave_out

if TYPE_CHECKING:
    from benchmarks.runs.ranked_lists import RankedQuery, ShownTracklet

LISTS = "gallery.json"
PAGE = (LISTS, "index.html", "report.css")
STRIP = re.compile(r"\d{3,}-(query|rank\d{2,})\.png|\..*\.half")
MOST_FRAMES = 8  # in a strip
RIGHT, WRONG = "✓ right", "✗ wrong"
STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True)
class Strip:
    """A tracklet in a list.

    Attributes:
        file: the name of its picture; None where no frames are shown.
        shown: how many frames; width, height: of the picture, in pixels.
        quality: the weight of each frame, where the baseline gives any.
        right: whether it shows the query's person; None for the query itself. distance: from the query.
    """

    tracklet: str
    pid: int
    camid: int
    file: Name | None
    shown: Annotated[int, Field(ge=1, le=MOST_FRAMES)]
    width: Count
    height: Count
    quality: list[Amount] | None
    right: bool | None
    distance: Annotated[float, Field(allow_inf_nan=False)]

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class RankedList:
    """A query, the tracklets nearest to it and, if all of them are wrong, the first right one."""

    query: Strip
    gallery: list[Strip]
    average_precision: Fraction
    first_hit_rank: Count
    first_right: Strip | None = None

    __pydantic_config__ = STRICT

    @property
    def strips(self) -> list[Strip]:
        """All strips."""
        return [self.query, *self.gallery, *([self.first_right] if self.first_right else [])]

    def without_images(self) -> "RankedList":
        """The same list without pictures."""
        hidden = [replace(each, file=None) for each in self.strips]
        count = len(self.gallery) + 1
        return replace(self, query=hidden[0], gallery=hidden[1:count], first_right=next(iter(hidden[count:]), None))


@dataclass(frozen=True)
class Lists:
    """The contents of `gallery.json`."""

    run: Name
    protocol: Name
    lists: list[RankedList]

    __pydantic_config__ = STRICT

    @property
    def strips(self) -> list[Strip]:
        """All strips."""
        return [strip for each in self.lists for strip in each.strips]

    def without_images(self) -> "Lists":
        """The same lists without pictures."""
        return replace(self, lists=[each.without_images() for each in self.lists])


def save(record: Record, protocol: str, ranked: Sequence["RankedQuery"], folder: Path, *, images: bool = True) -> Path:
    """Write strips, their description and a page to `folder`, replacing what an earlier call wrote; returns the page's file.

    Args:
        images: whether the frames are shown; otherwise the lists name the tracklets alone.

    Raises:
        UserError: `folder` is a file, or holds other files and no gallery.
    """
    _remove_earlier(folder)
    lists = []
    for number, each in enumerate(ranked, 1):
        query = _draw(each.query, folder / f"{number:03}-query.png" if images else None)
        right = [] if each.first_right is None else [(each.first_hit_rank, each.first_right)]
        strips = [
            replace(
                _draw(shown, folder / f"{number:03}-rank{rank:02}.png" if images else None),
                right=shown.is_match,
                distance=round(shown.distance, 4),
            )
            for rank, shown in [*enumerate(each.gallery, 1), *right]
        ]
        first_right = strips.pop() if right else None
        lists.append(RankedList(query, strips, each.average_precision, each.first_hit_rank, first_right))
    described = Lists(record.name, protocol, lists)
    write_atomically(folder / LISTS, to_json(asdict(described)))
    with naming(folder / "report.css"):
        shutil.copyfile(ASSETS / "report.css", folder / "report.css")
    title = f"Ranked strips of {record.name}"
    body = [el("h1", title), section(described, "")]
    write_atomically(folder / "index.html", page(title, body, navigation=False))
    return folder / "index.html"


def _remove_earlier(folder: Path) -> None:
    """Remove what an earlier call wrote, also one that was killed, and nothing else.

    Raises:
        UserError: as `save`.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--to {folder}: not a folder; name a folder, new or existing")
    files = list(folder.glob("*"))
    whole = folder / LISTS in files
    ours = [file for file in files if STRIP.fullmatch(file.name) or (whole and file.name in PAGE)]
    if not whole and len(ours) < len(files):
        raise UserError(
            f"--to {folder}: contains something other than a gallery; name a new folder, or that of an earlier gallery"
        )
    for file in ours:
        file.unlink()


_LISTS = TypeAdapter(Lists)


def copy(folder: Path, to: Path, images: bool) -> Lists | None:
    """The lists that `save` wrote to `folder`, after their strips were copied to the folder `to`; None if there are none.

    Damaged lists, and those that name a file outside `folder`, are left out, with a line on stderr.

    Args:
        images: whether strips are copied; if not, the lists are without them.
    """
    file = folder / LISTS
    try:
        described = parse(_LISTS, file.read_bytes(), file)
        if not images:
            return described.without_images()
        sources = [folder / strip.file for strip in described.strips if strip.file]
        for source in sources:
            if source.resolve().parent != folder.resolve() or source.suffix != ".png" or not source.is_file():
                raise UserError(f"{file}: {source.name} is not a picture in its folder; `bench gallery` draws it again")
    except FileNotFoundError:
        return None
    except UserError as error:
        leave_out(error)
        return None
    to.mkdir(parents=True, exist_ok=True)
    for source in sources:
        with naming(to / source.name):
            shutil.copyfile(source, to / source.name)
    return described


def section(described: Lists, folder: str) -> Markup:
    """The lists as HTML, `folder` being the path from the page to the strips: "" or "NAME/"."""
    weighted = any(each.query.quality for each in described.lists)
    legend = el(
        "p",
        f"Protocol {described.protocol}; the queries with the lowest average precision first. Frames are shown as the network "
        f"sees them: at most {MOST_FRAMES} of each tracklet, evenly spaced. Tracklets of the query's person have a solid frame "
        "and ",
        el("b", RIGHT),
        ", the others a dashed frame and ",
        el("b", WRONG),
        ". Where the nearest ten are all wrong, the first right one stands beside the query.",
        " Below each frame is the weight that the baseline gives it (for qan its quality), darker where it is greater."
        if weighted
        else None,
        class_="note",
    )
    return el("div", legend, [_list(each, folder) for each in described.lists], class_="lists")


def _list(each: RankedList, folder: str) -> Markup:
    query = each.query
    figures = f"average precision {100 * each.average_precision:.1f}%, first right one at rank {each.first_hit_rank}"
    ranked = [
        el("li", _strip(shown, folder, f"Rank {rank}", f"distance {shown.distance:g}"))
        for rank, shown in enumerate(each.gallery, 1)
    ]
    right = each.first_right
    beside = _strip(right, folder, f"Rank {each.first_hit_rank}", f"distance {right.distance:g}") if right else None
    return el(
        "section",
        el("h3", f"Query {query.tracklet}"),
        el("p", figures, class_="note"),
        el("div", _strip(query, folder, "Query", ""), beside, class_="beside"),
        el("ol", ranked, class_="ranked"),
        class_="list",
    )


def _strip(shown: Strip, folder: str, position: str, more: str) -> Markup:
    mark = {None: "", True: RIGHT, False: WRONG}[shown.right]
    who = f"person {shown.pid}, camera {shown.camid}"
    image = None
    if shown.file is None:
        who += f", tracklet {shown.tracklet}"
    else:
        alt = f"{position}{': ' + mark[2:] if mark else ''}, {who}, {shown.shown} frames of {shown.tracklet}"
        source = folder + quote(shown.file)
        image = el("img", src=source, alt=alt, width=shown.width, height=shown.height, loading="lazy")
    words = el("figcaption", el("b", position, " ", mark), " ", el("span", who, f", {more}" if more else ""))
    part = f"width: {100 * shown.shown / MOST_FRAMES:g}%"  # so that frames are equally large in every strip
    frames = el("div", image, _quality(shown.quality), class_="frames", style=part)
    kind = {None: "query", True: "right", False: "wrong"}[shown.right]
    return el("figure", words, frames, class_=f"strip {kind}")


def _quality(values: list[float] | None) -> Markup | None:
    if not values:
        return None
    most = max(values) or 1.0
    marks = [el("span", f"{value:.2f}", class_=f"q{math.floor(4 * value / most + 0.5)}") for value in values]
    return el("div", marks, class_="quality")


def _draw(shown: "ShownTracklet", file: Path | None) -> Strip:
    """Write the frames to `file`, if there is one, and describe them."""
    strip = np.concatenate(list(shown.frames), axis=1)
    if file is not None:
        import cv2

        with atomic_file(file) as half:
            half.write_bytes(cv2.imencode(".png", strip[..., ::-1])[1].tobytes())
    return Strip(
        shown.tracklet,
        shown.pid,
        shown.camid,
        None if file is None else file.name,
        len(shown.frames),
        strip.shape[1],
        strip.shape[0],
        None if shown.weights is None else [round(float(value), 4) for value in shown.weights],
        right=None,
        distance=0.0,
    )

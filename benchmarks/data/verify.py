"""Is a copy of a data set whole? Its structure, its counts against the published ones, its frames' numbers, and every
frame decoded once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from baselines.interface.errors import UserError

from .dataset import StructureError
from .frame_stores import FolderStore, Store
from .loading import Data, definition, find_root, load
from .table import statistics

BLOCK = 1024  # frames between two reports of progress


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    kind: `structure` (subject: a file or folder), `count` (subset and quantity), `gap` (the tracklet's folder), or
        `missing`, `empty` or `unreadable` (the frame).
    """

    kind: Literal["structure", "count", "gap", "missing", "empty", "unreadable"]
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


def read_again(
    name: str, split: int = 0, root: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Data, list[Finding]]:
    """The data set read anew from its folders (see `loading.load`), and the faults of its structure.

    Where there are faults, the data hold what is sound, and have no digest: nothing but `verify` may use them.
    """
    try:
        return load(name, split, root, progress, fresh=True), []
    except StructureError as error:
        place = find_root(name, root)
        data = Data(name, split, error.table, FolderStore(place), "", definition(name), place)
        return data, [Finding("structure", str(part), problem) for part, problem in error.faults]


def verify(data: Data, progress: Callable[[int, int], None] = lambda *_: None) -> list[Finding]:
    """All that differs from the published data set: counts first, then gaps, then frames, in the order of the table.

    Every frame is read and decoded once, on all cores.

    Args:
        data: one split; findings name its frames by their place below its root.
        progress: called with (frames done, frames in all) as the work goes on.
    """
    counted = statistics(data.table)
    findings = [
        Finding("count", f"{subset} {quantity}", f"{counted[subset][quantity]:,} found, {expected:,} published")
        for subset, quantities in data.definition.published.items()
        for quantity, expected in quantities.items()
        if counted[subset][quantity] != expected
    ]
    findings += _gaps(data)
    names = list(dict.fromkeys(chain.from_iterable(data.table.frames)))
    with ThreadPoolExecutor() as pool:  # reading and both decoders release the interpreter's lock
        for start in range(0, len(names), BLOCK):
            block = names[start : start + BLOCK]
            findings += filter(None, pool.map(lambda name: _problem(data.root, name, data.store), block))
            progress(start + len(block), len(names))
    return findings


def verdict(data: Data, findings: list[Finding]) -> str:
    """The last line of a verification: what is true of these data."""
    if findings:
        return f"{len(findings):,} {'finding' if len(findings) == 1 else 'findings'}"
    return "as published, every frame reads" if data.definition.published else "every frame reads"


def _gaps(data: Data) -> list[Finding]:
    """The numbers that are missing between a tracklet's first frame and its last."""
    pattern = data.definition.frame_name
    if pattern is None:
        return []
    found = []
    for row in data.table.itertuples(index=False):
        matches = (pattern.fullmatch(Path(frame).name) for frame in row.frames)
        numbers = [int(match["frame"]) for match in matches if match]  # readers keep them in order
        gaps = [f"{a + 1}" if b == a + 2 else f"{a + 1} to {b - 1}" for a, b in pairwise(numbers) if b > a + 1]
        if gaps:
            folder = data.root / Path(row.frames[0]).parent
            detail = f"tracklet {row.tracklet} of {row.subset} lacks the frames with the numbers {', '.join(gaps)}"
            found.append(Finding("gap", str(folder), detail))
    return found


def _problem(root: Path, name: str, store: Store) -> Finding | None:
    """What is wrong with one frame."""
    subject = str(root / name)
    try:
        data = np.frombuffer(store.read(name), np.uint8)
    except UserError as error:
        if store.sizes([name]):
            return Finding("unreadable", subject, str(error.__cause__ or error))
        return Finding("missing", subject, "missing")
    if len(data) == 0:
        return Finding("empty", subject, "an empty file")
    try:
        if data[:2].tobytes() == b"\xff\xd8":
            simplejpeg.decode_jpeg(data)  # strict: refuses what is damaged within, which OpenCV fills with grey
        elif cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
            raise ValueError("neither JPEG nor PNG, or cut short")
    except (ValueError, cv2.error) as error:
        return Finding("unreadable", subject, f"cannot be decoded ({error})")
    return None

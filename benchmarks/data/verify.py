"""Check that a copy of a data set is complete: structure, counts, frame numbers, and every frame decoded once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from baselines.interface.errors import UserError

from . import Progress, no_progress
from .dataset import StructureError
from .frame_stores import FolderStore, Store
from .loading import LoadedDataset, find_dataset, find_root, load

FRAMES_PER_UPDATE = 1024  # frames between two calls of progress


@dataclass(frozen=True)
class Finding:
    """One problem.

    kind: `structure` (its subject is a file or folder), `count` (a subset and a quantity), `gap` (a tracklet's folder), or
        `missing`, `empty` or `unreadable` (a frame).
    """

    kind: Literal["structure", "count", "gap", "missing", "empty", "unreadable"]
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


def read_again(
    name: str, split: int = 0, root: Path | None = None, progress: Progress = no_progress
) -> tuple[LoadedDataset, list[Finding]]:
    """The data set, read again from its folders (see `loading.load`), and the faults of its structure.

    If there are any, the data set lacks the faulty tracklets and has no digest: only `verify` may use it.
    """
    try:
        return load(name, split, root, progress, fresh=True, features_only=True), []
    except StructureError as error:
        root = find_root(name, root)
        loaded = LoadedDataset(name, split, error.table, FolderStore(root), "", find_dataset(name), root)
        return loaded, [Finding("structure", str(path), problem) for path, problem in error.faults]


def verify(loaded: LoadedDataset, progress: Progress = no_progress) -> list[Finding]:
    """All differences from the published data set: counts, then gaps, then frames in the order of the table.

    Every frame is read and decoded once, on all cores. Findings name frames by their path.
    """
    findings = [Finding("count", *each) for each in loaded.dataset.count_differences(loaded.table).items()]
    findings += _gaps(loaded)
    names = list(dict.fromkeys(chain.from_iterable(loaded.table.frames)))
    with ThreadPoolExecutor() as pool:  # reading and both decoders release Python's global lock
        for start in range(0, len(names), FRAMES_PER_UPDATE):
            block = names[start : start + FRAMES_PER_UPDATE]
            findings += filter(None, pool.map(lambda name: _frame_problem(loaded.root, name, loaded.store), block))
            progress(start + len(block), len(names))
    return findings


def conclusion(loaded: LoadedDataset, findings: list[Finding]) -> str:
    """The last line of a verification."""
    if findings:
        return f"{len(findings):,} {'finding' if len(findings) == 1 else 'findings'}"
    return "as published, every frame reads" if loaded.dataset.published else "every frame reads"


def _gaps(loaded: LoadedDataset) -> list[Finding]:
    """The frame numbers that are missing between a tracklet's first frame and its last."""
    pattern = loaded.dataset.frame_name
    if pattern is None:
        return []
    findings = []
    for row in loaded.table.itertuples(index=False):
        matches = (pattern.fullmatch(Path(frame).name) for frame in row.frames)
        numbers = [int(match["frame"]) for match in matches if match]  # readers keep them in order
        gaps = [f"{a + 1}" if b == a + 2 else f"{a + 1} to {b - 1}" for a, b in pairwise(numbers) if b > a + 1]
        if gaps:
            folder = loaded.root / Path(row.frames[0]).parent
            detail = f"tracklet {row.tracklet} of {row.subset} lacks the frames with the numbers {', '.join(gaps)}"
            findings.append(Finding("gap", str(folder), detail))
    return findings


def _frame_problem(root: Path, name: str, store: Store) -> Finding | None:
    """What is wrong with one frame, if anything."""
    subject = str(root / name)
    try:
        data = np.frombuffer(store.read(name), np.uint8)
    except UserError as error:
        if store.sizes([name]):
            return Finding("unreadable", subject, str(error.__cause__ or error))
        return Finding("missing", subject, "missing")
    if len(data) == 0:
        return Finding("empty", subject, "an empty file")
    problem = image_problem(data)
    return Finding("unreadable", subject, problem) if problem else None


def image_problem(data: np.ndarray) -> str:
    """Why an encoded image, uint8, cannot be decoded; empty if it can."""
    try:
        if data[:2].tobytes() == b"\xff\xd8":
            simplejpeg.decode_jpeg(data)  # strict: OpenCV would fill damaged parts with grey
        elif cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
            raise ValueError("neither JPEG nor PNG, or cut short")
    except (ValueError, cv2.error) as error:
        return f"cannot be decoded ({error})"
    return ""

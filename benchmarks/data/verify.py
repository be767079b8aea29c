"""Check that a copy of a data set is complete: structure, counts, frame numbers, and every frame decoded once.

`verify` lists everything. `refuse_bad_frames` is what a run asks before it trains; `bad_frames` and `leave_out` omit such frames.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
import simplejpeg

from baselines.interface.errors import UserError
from benchmarks.atomic import DamagedFileError, write_atomically
from benchmarks.parsing import one_line
from benchmarks.paths import cache_dir

from . import Progress, no_progress, packing
from .dataset import PackedDataset, StructureError
from .find import find_dataset, find_known
from .frame_stores import PACK, FolderStore, PackedStore
from .images import JPEG, checked_size
from .leaving_out import digest_without, without_frames
from .loading import LoadedDataset, find_root, load
from .packed_folder import compute_digest, stored_digest
from .table import make_table

T = TypeVar("T")
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
        dataset = find_dataset(name)
        packed = isinstance(dataset, PackedDataset)
        root = dataset.cache_folder if isinstance(dataset, PackedDataset) else find_root(name, root)
        store = PackedStore(root / PACK) if packed else FolderStore(root)
        loaded = LoadedDataset(name, split, error.table, store, "", dataset, root)
        return loaded, [Finding("structure", str(path), problem) for path, problem in error.faults]
    except DamagedFileError as error:
        known = find_known(name)
        if not isinstance(known, PackedDataset) or not (known.cache_folder / PACK).exists():
            raise
        try:  # without a table, the frames of the pack can still be checked
            packed_frames = PackedStore(known.cache_folder / PACK)
        except UserError as another:
            raise error if str(another) == str(error) else UserError(f"{error}; {another}") from another
        without_table = LoadedDataset(name, split, make_table([]), packed_frames, "", known, known.cache_folder)
        return without_table, [
            Finding("structure", str(known.cache_folder), "its table cannot be checked: " + str(error))
        ]


def verify(loaded: LoadedDataset, progress: Progress = no_progress) -> list[Finding]:
    """All differences from the published data set: counts, then gaps, then digests, then frames in the order of the table.

    Every frame is read and decoded once, on all cores. Findings name frames by their path. Where the data set has been packed,
    the pack must hold the same bytes. Of a data set that comes packed, the digest is computed anew.
    """
    findings = [Finding("count", *each) for each in loaded.dataset.count_differences(loaded.table).items()]
    findings += _gaps(loaded)
    findings += _changed_digest(loaded)
    pack, in_pack = _open_pack(loaded)
    findings += in_pack
    return findings + _in_each_frame(loaded, partial(_frame_findings, loaded, pack), progress)


def _frames(loaded: LoadedDataset) -> list[str]:
    """The names of all frames, each once; those of the pack where the table cannot be read."""
    if loaded.table.empty and isinstance(loaded.store, PackedStore):
        return loaded.store.names
    return list(dict.fromkeys(chain.from_iterable(loaded.table.frames)))


def _in_each_frame(loaded: LoadedDataset, check: Callable[[str], list[T]], progress: Progress = no_progress) -> list[T]:
    """What `check` finds in each frame of the table, on all cores."""
    names = _frames(loaded)
    findings: list[T] = []
    with ThreadPoolExecutor() as pool:  # reading and both decoders release Python's global lock
        for start in range(0, len(names), FRAMES_PER_UPDATE):
            block = names[start : start + FRAMES_PER_UPDATE]
            findings += chain.from_iterable(pool.map(check, block))
            progress(start + len(block), len(names))
    return findings


def conclusion(loaded: LoadedDataset, findings: list[Finding]) -> str:
    """The last line of a verification."""
    if findings:
        return f"{len(findings):,} {'finding' if len(findings) == 1 else 'findings'}"
    return "counts as published, every frame readable" if loaded.dataset.published else "every frame readable"


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


def _changed_digest(loaded: LoadedDataset) -> Iterator[Finding]:
    """A finding if a data set that comes packed is not as it was written."""
    if (
        loaded.digest
        and isinstance(loaded.dataset, PackedDataset)
        and compute_digest(loaded.root) != stored_digest(loaded.root)
    ):
        problem = f"differs from the digest that was stored with it; delete {loaded.root} and create it again"
        yield Finding("structure", str(loaded.root / PACK), problem)


def _open_pack(loaded: LoadedDataset) -> tuple[PackedStore | None, list[Finding]]:
    """The pack of a real data set, None if there is none, and a finding if it cannot be read."""
    folder = packing.find_pack(loaded.name, loaded.digest) if isinstance(loaded.store, FolderStore) else None
    try:
        return (PackedStore(*sorted(folder.glob("*.arrow"))) if folder else None), []
    except UserError as error:
        return None, [Finding("structure", str(folder), str(error))]


def _frame_findings(loaded: LoadedDataset, pack: PackedStore | None, name: str) -> list[Finding]:
    """What is wrong with one frame, and with its copy in a pack."""
    found = _frame_problem(loaded, name)
    if pack is None:
        return found
    subject = f"{pack.files[0].parent}/{name}"
    try:
        if not found and pack.read(name) != loaded.store.read(name):
            found.append(Finding("unreadable", subject, "differs from the image file; delete the pack, and pack again"))
    except UserError as error:
        found.append(Finding("unreadable", subject, str(error)))
    return found


def bad_frames(loaded: LoadedDataset, progress: Progress = no_progress) -> dict[str, str]:
    """The frames that `refuse_bad_frames` would refuse, each with the reason. A mark says that all others were decoded."""
    bad = {name: one_line(each.detail.replace(f"{loaded.root}/", "")) for name, each in _bad_frames(loaded, progress)}
    _write_mark(_mark(replace(loaded, digest=digest_without(loaded.digest, bad))))
    return bad


def leave_out(loaded: LoadedDataset, frames: Mapping[str, str]) -> LoadedDataset:
    """The data set without these frames, which `left_out` then lists with their reasons."""
    if not frames:
        return loaded
    table, digest = without_frames(loaded.table, frames), digest_without(loaded.digest, frames)
    return replace(loaded, table=table, digest=digest, left_out=frames)


def refuse_bad_frames(loaded: LoadedDataset, progress: Progress = no_progress) -> None:
    """Check that every frame of the table can be decoded, so that no training ends at a frame that cannot.

    All frames are decoded once for a data set and its folder, and a mark in BENCH_CACHE says so. After that only the checksums
    are read, if the data set is packed.

    Raises:
        UserError: the first frame that cannot, and how many there are.
    """
    found = [finding for _, finding in _bad_frames(loaded, progress)]
    if found:
        more = f" (and {len(found) - 1:,} more such frames)" if len(found) > 1 else ""
        raise UserError(
            f"{found[0]}{more}; `bench data verify` lists every fault, and a run with --skip-bad omits such frames"
        )
    _write_mark(_mark(loaded))


def _bad_frames(loaded: LoadedDataset, progress: Progress) -> list[tuple[str, Finding]]:
    """The frames that cannot be decoded, by name; where a mark says that all were, those of a pack whose checksum is wrong."""
    marked = _mark(loaded).exists()
    if marked and not isinstance(loaded.store, PackedStore):
        return []
    problem = _damage if marked else _frame_problem
    return _in_each_frame(loaded, lambda name: [(name, each) for each in problem(loaded, name)], progress)


def _mark(loaded: LoadedDataset) -> Path:
    """The file that says that all frames of a data set, in its folder or packed, were decoded."""
    packed = isinstance(loaded.store, PackedStore)
    place = "packed" if packed else hashlib.sha256(str(loaded.root.resolve()).encode()).hexdigest()[:12]
    return cache_dir() / "decoded" / f"{loaded.digest}-{place}"


def _write_mark(mark: Path) -> None:
    with suppress(OSError):  # the cache may be read-only: then each run decodes all frames
        write_atomically(mark, "")


def _damage(loaded: LoadedDataset, name: str) -> list[Finding]:
    """Whether the bytes of one frame differ from what was written."""
    try:
        loaded.store.read(name)
    except UserError as error:
        return [Finding("unreadable", str(loaded.root / name), str(error))]
    return []


def _frame_problem(loaded: LoadedDataset, name: str) -> list[Finding]:
    """What is wrong with one frame, if anything."""
    subject = str(loaded.root / name)
    try:
        data = np.frombuffer(loaded.store.read(name), np.uint8)
    except UserError as error:
        if loaded.store.sizes([name]):
            return [Finding("unreadable", subject, str(error.__cause__ or error))]
        return [Finding("missing", subject, "missing")]
    if len(data) == 0:
        return [Finding("empty", subject, "an empty file")]
    problem = image_problem(data)
    return [Finding("unreadable", subject, problem)] if problem else []


def image_problem(data: np.ndarray) -> str:
    """Why an encoded image, uint8, cannot be decoded; empty if it can."""
    try:
        checked_size(data.tobytes())
        if data[:2].tobytes() == JPEG:
            simplejpeg.decode_jpeg(data)  # strict: OpenCV would fill damaged parts with grey
        elif cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
            raise ValueError("cut short")
    except (ValueError, cv2.error) as error:
        return f"cannot be decoded ({error})"
    return ""

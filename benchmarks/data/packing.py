"""A real data set's frames in a few large files, in BENCH_CACHE, and on a node's own disk where BENCH_SCRATCH names one.

A pack is a folder `packs/NAME-DIGEST` of parts, each written whole, and a note that is written last: what an interruption
leaves is gone on with. The bytes are the files'; the table, its digest and all results are the same with and without.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.paths import cache_dir, scratch_dir

from .frame_stores import FolderStore, PackedStore, write_pack

NOTE = "pack.json"
PART = 50_000  # frames: what an interruption costs, and few enough files for a million


def write(
    name: str, tables: dict[str, list[str]], store: FolderStore, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Pack the frames of a data set; what is packed already is left. The pack's folder.

    Args:
        tables: for each split's digest, the names of its frames; together they are packed, each frame once.
        progress: called with (done, total) frames.

    Raises:
        UserError: a frame is missing.
    """
    names = sorted({name for frames in tables.values() for name in frames})
    folder = cache_dir() / "packs" / f"{name}-{hashlib.sha256(''.join(sorted(tables)).encode()).hexdigest()[:12]}"
    parts = range(0, len(names), PART)
    for first in parts:
        part = names[first : first + PART]
        file = folder / f"{first // PART:04d}.arrow"
        if not file.exists():
            write_pack(file, ((each, store.read(each)) for each in part))
        if progress is not None:
            progress(first + len(part), len(names))
    write_atomically(folder / NOTE, json.dumps({"digests": sorted(tables), "parts": len(parts), "frames": len(names)}))
    return folder


def find(name: str, digest: str) -> Path | None:
    """The folder of the pack that has the data of this digest; None where there is none, or not all of it."""
    for note in (cache_dir() / "packs").glob(f"{name}-*/{NOTE}"):
        try:
            if digest in json.loads(note.read_text())["digests"]:
                return note.parent
        except (OSError, ValueError, KeyError, TypeError):  # damaged: to be written again
            continue
    return None


def opened(folder: Path) -> PackedStore:
    """The frames of a pack, from this machine's own disk where BENCH_SCRATCH names a folder (`$VARIABLES` in it are filled
    in): the first to come copies the pack there, and this user's others wait for it."""
    scratch = scratch_dir()
    if scratch is not None:
        folder = _staged(folder, scratch / f"afa-bench-{os.getuid()}")
    return PackedStore(*sorted(folder.glob("*.arrow")))


def _staged(folder: Path, place: Path) -> Path:
    here = place / folder.name
    here.mkdir(parents=True, exist_ok=True)
    with open(here / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel lets go of it when this process dies
        for part in sorted(folder.glob("*.arrow")):
            if not (here / part.name).exists():
                with atomic_file(here / part.name) as half:
                    shutil.copyfile(part, half)
    return here

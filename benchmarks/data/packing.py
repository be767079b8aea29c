"""Packs: the frames of a real data set in a few large files in BENCH_CACHE, copied to a node's own disk if BENCH_SCRATCH is set.

A pack is a folder `packs/NAME-DIGEST` of parts with their checksums, each written whole, and a note that is written last, so
that an interrupted pack can be continued. A pack without checksums, as older versions wrote, is not read; `bench data pack`
writes it again. Frames are copied byte for byte: the table, its digest and all results are the same with a pack and without.
"""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.paths import cache_dir, scratch_dir

from . import Progress, no_progress, read_json
from .frame_stores import FolderStore, PackedStore, checksums_file, write_pack

NOTE = "pack.json"
FRAMES_PER_PART = 50_000  # what an interruption loses at most; a million frames make 20 files


def write_pack_folder(
    name: str, frames: dict[str, list[str]], store: FolderStore, progress: Progress = no_progress
) -> Path:
    """Pack the frames of a data set, except the parts that exist; returns the pack's folder.

    Args:
        frames: for each split's digest the names of its frames. Each frame is packed once.

    Raises:
        UserError: a frame is missing.
    """
    names = sorted({name for split in frames.values() for name in split})
    folder = cache_dir() / "packs" / f"{name}-{hashlib.sha256(''.join(sorted(frames)).encode()).hexdigest()[:12]}"
    starts = range(0, len(names), FRAMES_PER_PART)
    for start in starts:
        part = names[start : start + FRAMES_PER_PART]
        file = folder / f"{start // FRAMES_PER_PART:04d}.arrow"
        if not (file.exists() and checksums_file(file).exists()):
            write_pack(file, ((frame, store.read(frame)) for frame in part))
        progress(start + len(part), len(names))
    write_atomically(folder / NOTE, json.dumps({"digests": sorted(frames), "parts": len(starts), "frames": len(names)}))
    return folder


def find_pack(name: str, digest: str) -> Path | None:
    """The folder of the complete pack that holds the data of this digest, or None."""
    for note in (cache_dir() / "packs").glob(f"{name}-*/{NOTE}"):
        try:
            contents = read_json(note)
            parts = sorted(note.parent.glob("*.arrow"))
            complete = len(parts) == contents["parts"] and all(checksums_file(part).exists() for part in parts)
            if complete and digest in contents["digests"]:
                return note.parent
        except (OSError, ValueError, KeyError, TypeError):  # damaged: as if it were missing
            continue
    return None


def open_pack(folder: Path) -> PackedStore:
    """The frames of a pack. If BENCH_SCRATCH names a folder (`$VARIABLES` in it are expanded), the pack is copied there first.

    The first process of this user copies it, the others wait.
    """
    scratch = scratch_dir()
    if scratch:
        folder = _copied(folder, scratch / f"afa-bench-{os.getuid()}")
    return PackedStore(*sorted(folder.glob("*.arrow")))


def _copied(folder: Path, to: Path) -> Path:
    copy = to / folder.name
    copy.mkdir(parents=True, exist_ok=True)
    with open(copy / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it if this process dies
        for part in sorted((*folder.glob("*.arrow"), *folder.glob("*.arrow.crc32"))):
            if not (copy / part.name).exists():
                with atomic_file(copy / part.name) as half:
                    shutil.copyfile(part, half)
    return copy

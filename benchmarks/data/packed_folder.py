"""The folder of a packed data set in BENCH_CACHE: its table, its frames with their checksums, and the digest of both."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file, damaged_file, reading_derived_file, write_atomically

from . import read_json
from .frame_stores import PACK, PackedStore, checksums_file, write_pack
from .table import TABLE, read_table

DIGEST_FILE = "data.json"


def write_packed(folder: Path, table: pd.DataFrame, frames: Iterable[tuple[str, bytes]]) -> None:
    """Fill the folder of a packed data set.

    Args:
        table: its tracklets, already checked.
        frames: names and encoded images: those of the table, each once.

    Raises:
        UserError: other frames than those of the table.
    """
    missing = {name for names in table.frames for name in names}

    def listed() -> Iterator[tuple[str, bytes]]:
        for name, data in frames:
            if name not in missing:
                raise UserError(f"frame {name!r}: written twice, or in no tracklet")
            missing.remove(name)
            yield name, data

    write_pack(folder / PACK, listed())
    if missing:
        raise UserError(f"frame {min(missing)!r}: in the table of tracklets, but there is no such image")
    with atomic_file(folder / TABLE) as half:
        table.to_parquet(half)
    pack_digest(folder)


def pack_digest(folder: Path) -> str:
    """sha256 over the table and the frames of a packed data set. It is computed once and stored with them.

    The table is checked at each call; the frames are when they are read. A folder of a version that stored no checksums is
    compared with its digest once, and gets them.

    Raises:
        UserError: the table differs from what was written, or in such an older folder the table or the frames.
    """
    file = folder / DIGEST_FILE
    note = _read_note(file)
    if note is not None and "table" in note and checksums_file(folder / PACK).exists():
        if note["table"] != file_digest(folder / TABLE):
            raise damaged_file(folder / TABLE, "its checksum is wrong")
        return str(note["digest"])
    digest = compute_digest(folder)
    if note is not None and note["digest"] != digest:
        raise damaged_file(folder / PACK, f"it or {TABLE} differs from the digest in {DIGEST_FILE}")
    PackedStore(folder / PACK)  # makes its checksums
    write_atomically(file, json.dumps({"digest": digest, "table": file_digest(folder / TABLE)}))
    return digest


def compute_digest(folder: Path) -> str:
    """The digest of a packed data set, computed anew.

    Raises:
        UserError: the table or the frames cannot be read.
    """
    table = read_table(folder / TABLE)
    plain = table.assign(frames=[";".join(frames) for frames in table.frames])
    total = hashlib.sha256(pd.util.hash_pandas_object(plain).to_numpy().tobytes())
    total.update(bytes.fromhex(file_digest(folder / PACK)))
    return total.hexdigest()


def stored_digest(folder: Path) -> str | None:
    """The digest of a packed data set as far as it was stored."""
    note = _read_note(folder / DIGEST_FILE)
    return None if note is None else str(note["digest"])


def file_digest(file: Path) -> str:
    """The sha256 of a file of the folder.

    Raises:
        UserError: it is missing or cannot be read.
    """
    with reading_derived_file(file), open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _read_note(file: Path) -> dict[str, Any] | None:
    """The contents of DIGEST_FILE, or None if it is missing or damaged."""
    try:
        note = dict(read_json(file))
        return note if isinstance(note["digest"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None

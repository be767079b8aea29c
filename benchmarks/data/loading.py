"""Data sets by name: found, indexed once, and loaded as a table of tracklets with the store of its frames.

Where things lie:
    BENCH_DATA   below it a folder for each real data set, as its archives unpack; may be read-only
    BENCH_CACHE  what is derived: indexes of those folders, drawn data sets, imported videos (default ~/.cache/afa-bench)
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest, plugin_at_fault
from benchmarks.atomic import atomic_file, atomic_folder, write_atomically
from benchmarks.paths import cache_dir, data_dir

from . import DATASETS, family, imported, imported_folder, packing
from . import table as tables
from .dataset import Dataset
from .frame_stores import PACK, FolderStore, PackedStore, Store, write_pack

TABLE = "table.parquet"
META = "data.json"
LOOKED_AT = 1000  # frames between two calls of progress

Progress = Callable[[int, int], None]  # (done, total) frames


@dataclass(frozen=True)
class Data:
    """A loaded data set: one split of it."""

    name: str
    split: int
    table: pd.DataFrame
    store: Store
    digest: str
    definition: Dataset
    root: Path

    @property
    def protocols(self) -> tuple[str, ...]:
        return self.definition.protocols


class Imported(Dataset):
    """A user's own video, cut by a tracker's boxes (`bench data import`)."""

    protocols = ("official", "standard", "full")
    folder = "imported"
    layout = f"{TABLE} and {PACK}"
    source = "made by `bench data import`"

    def read(self, root: Path, split: int) -> pd.DataFrame:  # noqa: ARG002 - a video has one split
        return tables.read_table(root / TABLE)


def definition(name: str) -> Dataset:
    """What the data set's file says.

    Raises:
        UserError: no such data set; the message gives the nearest right name.
    """
    if name in imported():
        return Imported()
    if family(name) not in DATASETS.entries:
        raise UserError(f"no data set {name!r}; {nearest(name, DATASETS.names() + imported())}")
    return DATASETS.get(family(name))()


def full_name(name: str) -> str:
    """The name by which a data set stands in records: one world of walkers has several names, and one shortest.

    Raises:
        UserError: no such data set, kind, world or size.
    """
    definition(name)
    if not family(name).startswith("walkers"):
        return name
    from benchmarks.data.datasets.walkers import parse

    return str(parse(name))


def find_root(name: str, root: Path | None = None) -> Path:
    """The folder of a real data set: `--root`, or its folder below BENCH_DATA.

    Raises:
        UserError: nowhere; the message says what to get and how it must look.
    """
    found = definition(name)
    if root is None:
        base = data_dir()
        if base is None:
            raise UserError(
                f"data set {name}: give --root DIR, or set BENCH_DATA to the folder that holds {found.folder}/; "
                f"DIR must hold {found.layout} ({found.source})"
            )
        root = base / found.folder
    if not root.is_dir():
        raise UserError(f"data set {name}: {root} is not a folder; it must hold {found.layout} ({found.source})")
    return root


def comes_packed(name: str) -> bool:
    """Whether a data set is drawn or imported; the frames of others lie in folders of files."""
    return family(name).startswith("walkers") or name in imported()


def absent(name: str, root: Path | None = None) -> str | None:
    """Why a data set cannot be read here; None where it can, or is drawn."""
    if comes_packed(name):
        return None
    try:
        find_root(name, root)
    except UserError as error:
        return str(error)
    return None


def load(
    name: str, split: int = 0, root: Path | None = None, progress: Progress | None = None, fresh: bool = False
) -> Data:
    """One split of the data set `name`.

    Args:
        name: a registered or imported name; `walkers[-KIND][@WORLD][:SIZE]` is drawn on first use.
        split: 0 to splits - 1.
        root: the data set's folder, where it is not below BENCH_DATA.
        progress: called with (done, total) frames while a data set is drawn, or its files are looked at for the first time.
        fresh: read a real data set's folders again although an index of them, or a pack, is at hand.

    Raises:
        UserError: unknown name or split, missing root, wrong structure.
    """
    found = definition(name)
    if not 0 <= split < found.splits:
        raise UserError(f"--split {split}: {name} has the splits 0 to {found.splits - 1}")
    if root is not None and comes_packed(name):
        raise UserError(f"--root {root}: {name} is drawn or imported, and lies in BENCH_CACHE; leave --root out")
    if isinstance(found, Imported):
        return _packed(name, imported_folder(name), found)
    if family(name).startswith("walkers"):
        name = full_name(name)
        return _packed(name, _draw(name, progress), found)
    place = find_root(name, root)
    table, digest = _index(name, split, place, found, fresh, progress)
    pack = None if fresh else packing.find(name, digest)
    return Data(name, split, table, packing.opened(pack) if pack else FolderStore(place), digest, found, place)


def pack(name: str, root: Path | None = None, progress: Progress | None = None) -> Path:
    """Pack the frames of all splits of a real data set; the pack's folder. What an interruption left is gone on with.

    Raises:
        UserError: as `load`; or a data set that is packed as it comes.
    """
    found = definition(name)
    if comes_packed(name):
        raise UserError(f"{name} is drawn or imported, and packed as it is")
    splits = [load(name, split, root, progress, fresh=True) for split in range(found.splits)]
    tables = {each.digest: [frame for frames in each.table.frames for frame in frames] for each in splits}
    return packing.write(name, tables, FolderStore(splits[0].root), progress)


def _packed(name: str, folder: Path, found: Dataset) -> Data:
    table = tables.read_table(folder / TABLE)  # checked when it was written
    return Data(name, 0, table, PackedStore(folder / PACK), pack_digest(folder), found, folder)


def pack_digest(folder: Path) -> str:
    """sha256 over a packed data set's table and frames; computed once and kept beside them."""
    meta = folder / META
    kept = _digest_in(meta)
    if kept is None:
        total = hashlib.sha256(
            pd.util.hash_pandas_object(_plain(tables.read_table(folder / TABLE))).to_numpy().tobytes()
        )
        with open(folder / PACK, "rb") as frames:
            total.update(hashlib.file_digest(frames, "sha256").digest())
        kept = total.hexdigest()
        write_atomically(meta, json.dumps({"digest": kept}))
    return kept


def _digest_in(meta: Path) -> str | None:
    """The digest kept in a file; None where there is none, or the file is damaged."""
    try:
        return str(json.loads(meta.read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(frames=[";".join(frames) for frames in table.frames])


def drawn_folder(name: str) -> Path:
    """Where a drawn data set lies. The folder's name holds a digest of the code that draws."""
    sources = ((Path(__file__).parent / f"{module}.py").read_bytes() for module in ("datasets/walkers", "puppets"))
    return cache_dir() / "walkers" / f"{name.replace(':', '.')}-{hashlib.sha256(b''.join(sources)).hexdigest()[:12]}"


def _draw(name: str, progress: Progress | None) -> Path:
    """The folder of a drawn data set, drawn now if it is not there."""
    from .datasets import walkers

    world = walkers.parse(name)
    folder = drawn_folder(name)
    if (folder / TABLE).exists():
        return folder
    table = walkers.table(world)
    total = int(table.frames.map(len).sum())

    def counted() -> Iterator[tuple[str, bytes]]:
        for done, frame in enumerate(walkers.frames(world), 1):
            if progress is not None:
                progress(done, total)
            yield frame

    try:
        with atomic_folder(folder) as half:
            write_pack(half / PACK, counted())
            table.to_parquet(half / TABLE)
    except OSError:
        if not (folder / TABLE).exists():  # not simply drawn by another process meanwhile
            raise
    return folder


def _index(
    name: str, split: int, root: Path, found: Dataset, fresh: bool, progress: Progress | None
) -> tuple[pd.DataFrame, str]:
    """The table of a real data set and its digest: from the cache while no folder has changed, else read again."""
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    file = cache_dir() / "index" / f"{name}-{split}-{place}-{_reader(name)}.parquet"
    kept = None if fresh else _meta(file)
    if kept is not None and kept["folders"] == _folders(root, kept["folders"]):
        return tables.read_table(file), kept["digest"]
    try:
        table = tables.check(found.read(root, split), str(root))
    except (ValueError, TypeError, IndexError, KeyError) as error:  # of files whose insides are not what they were
        if plugin_at_fault(error):
            raise
        raise UserError(f"{root}: the index files are not as the original unpacks them ({error})") from error
    names = [frame for frames in table.frames for frame in frames]
    sizes: dict[str, int] = {}
    for start in range(0, len(names), LOOKED_AT):
        sizes |= FolderStore(root).sizes(names[start : start + LOOKED_AT])
        if progress is not None:
            progress(min(start + LOOKED_AT, len(names)), len(names))
    digest = tables.digest(table, sizes)
    parents = sorted({"", *found.tables, *(str(parent) for frame in names for parent in _parents(frame))})
    meta = {"digest": digest, "folders": _folders(root, parents)}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), b"bench": json.dumps(meta)})
    with atomic_file(file) as half:
        pq.write_table(arrow, half)
    return table, digest


def _reader(name: str) -> str:
    """A digest of the code that reads a data set: an index made by other code is not used."""
    files = (Path(__file__).with_name("dataset.py"), Path(__file__).with_name("table.py"), DATASETS.entries[name].file)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _parents(frame: str) -> Iterator[str]:
    parts = frame.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])


def _folders(root: Path, parts: Iterable[str]) -> dict[str, int]:
    """Each folder's or file's time of change in ns; -1 where it is gone.

    A folder's changes when a file is added or removed. Frames that are replaced in place need `bench data verify`.
    """
    times = {}
    for part in parts:
        try:
            times[part] = (root / part).stat().st_mtime_ns
        except OSError:
            times[part] = -1
    return times


def known_digests(name: str, split: int) -> set[str]:
    """The digests of a data set in every root from which it was read here, without reading it; empty if it never was."""
    if family(name).startswith("walkers"):
        meta = drawn_folder(name) / META
    else:
        meta = imported_folder(name) / META
    if (kept := _digest_in(meta)) is not None:
        return {kept}
    indexes = map(_meta, (cache_dir() / "index").glob(f"{name}-{split}-*.parquet"))
    return {str(index["digest"]) for index in indexes if index is not None}


def _meta(file: Path) -> dict[str, Any] | None:
    """What an index notes of itself; None where there is none, or the file is damaged."""
    try:
        return dict(json.loads(pq.read_schema(file).metadata[b"bench"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""Data sets by name: find one, index its folder once, and load it as a table of tracklets with the store of its frames.

Folders:
    BENCH_DATA   holds a folder for each real data set, as its archives unpack; may be read-only
    BENCH_CACHE  holds derived data: indexes of those folders, packs, drawn and imported data sets (~/.cache/afa-bench)
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from baselines.interface.plugins import plugin_at_fault
from baselines.interface.registry import nearest
from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.paths import cache_dir, data_dir

from . import DATASETS, Progress, imported_datasets, no_progress, packing, registered_name
from . import table as tables
from .dataset import NOT_PUBLISHED, Dataset, PackedDataset
from .drawn import DrawnDataset
from .frame_stores import PACK, FolderStore, PackedStore, Store
from .imported import LONGEST_NOTE, ImportedDataset
from .table import TABLE

DIGEST_FILE = "data.json"  # in the folder of a packed data set
FRAMES_PER_UPDATE = 1000  # frames between two calls of progress


@dataclass(frozen=True)
class LoadedDataset:
    """One split of a data set.

    Attributes:
        name: the full name, as records have it.
        split: which of the data set's splits, from 0.
        table: the tracklets.
        store: the bytes of their frames.
        digest: sha256 of the data, part of every run's name.
        dataset: its facts.
        root: the folder that it was read from.
    """

    name: str
    split: int
    table: pd.DataFrame
    store: Store
    digest: str
    dataset: Dataset
    root: Path

    @property
    def protocols(self) -> tuple[str, ...]:
        return self.dataset.protocols


def find_dataset(name: str) -> Dataset:
    """The data set of a full name. Nothing is read.

    Raises:
        UserError: no such data set; the message gives the closest name, size or world.
    """
    if name in imported_datasets():
        return ImportedDataset(name)
    if registered_name(name) not in DATASETS.entries:
        known = nearest(name, DATASETS.names() + imported_datasets())
        raise UserError(f"no data set {name!r}; {known} (add one with `bench data import` or --plugin FILE.py)")
    dataset: Dataset = DATASETS.get(registered_name(name)).from_name(name)
    return dataset


def full_name(name: str) -> str:
    """The name of a data set in records. A drawn data set may have several names; this is the shortest.

    Raises:
        UserError: no such data set.
    """
    dataset = find_dataset(name)
    return dataset.name if isinstance(dataset, PackedDataset) else name


def is_drawn(name: str) -> bool:
    """Whether a data set is drawn; False for one that is not known here."""
    return isinstance(_find_known(name), DrawnDataset)


def _find_known(name: str) -> Dataset | None:
    """The data set of a name from a record, or None: it may come from a plug-in that is not loaded."""
    try:
        return find_dataset(name)
    except UserError:
        return None


def data_note(name: str, split: int, digest: str) -> str:
    """What every table of results on some data must say; empty if nothing, or if the data set is not known here.

    That is that its counts are not the published ones, and the note of the data set; as long as a record may hold.
    """
    dataset = _find_known(name)
    if dataset is None:
        return ""
    files = (cache_dir() / "index").glob(f"{name}-{split}-*.parquet")
    found = (file for file in files if (index := _index_metadata(file)) is not None and index["digest"] == digest)
    counts = (_counts_note(dataset, file) for file in list(found)[:1])
    return "; ".join(filter(None, (*counts, dataset.note)))[:LONGEST_NOTE]


def counts_note(name: str, root: Path | None = None) -> str:
    """That the counts of the data set in its folder are not the published ones; empty if they are, or if it was not read yet."""
    dataset = _find_known(name)
    if dataset is None or not dataset.published or why_unavailable(name, root):
        return ""
    file = _index_file(name, 0, find_root(name, root))
    return _counts_note(dataset, file) if file.exists() else ""


def _counts_note(dataset: Dataset, index: Path) -> str:
    differences = [f"{what}: {counts}" for what, counts in dataset.count_differences(tables.read_table(index)).items()]
    more = f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""
    return f"{NOT_PUBLISHED} ({differences[0]}{more})" if differences else ""


def find_root(name: str, root: Path | None = None) -> Path:
    """The folder of a real data set: `--root`, or its folder in BENCH_DATA.

    Raises:
        UserError: it does not exist; the message says what to get and what the folder must contain.
    """
    dataset = find_dataset(name)
    if root is None:
        base = data_dir()
        if base is None:
            raise UserError(
                f"data set {name}: give --root DIR, or set BENCH_DATA to the folder that holds {dataset.folder}/; "
                f"DIR must hold {dataset.layout} ({dataset.source})"
            )
        root = base / dataset.folder
    if not root.is_dir():
        raise UserError(f"data set {name}: {root} is not a folder; it must hold {dataset.layout} ({dataset.source})")
    return root


def why_unavailable(name: str, root: Path | None = None) -> str | None:
    """Why a data set cannot be read here, or None if it can."""
    try:
        if not isinstance(find_dataset(name), PackedDataset):
            find_root(name, root)
    except UserError as error:
        return str(error)
    return None


def load(
    name: str,
    split: int = 0,
    root: Path | None = None,
    progress: Progress = no_progress,
    fresh: bool = False,
    features_only: bool = False,
) -> LoadedDataset:
    """One split of the data set `name`.

    Args:
        name: a registered name, an imported one, or the longer name of a drawn data set, which is drawn on first use.
        split: 0 to splits - 1.
        root: the data set's folder, where it is not in BENCH_DATA.
        progress: called while a data set is drawn, or a real one is indexed.
        fresh: read the folders of a real data set again even if an index or a pack of them exists.
        features_only: whether the caller needs no identities and no subsets, so that data without them will do.

    Raises:
        UserError: unknown name or split, a data set for feature extraction only, missing root, wrong structure.
    """
    dataset = find_dataset(name)
    if not 0 <= split < dataset.splits:
        raise UserError(f"--split {split}: {name} has splits 0 to {dataset.splits - 1}")
    if dataset.features_only and not features_only:
        raise UserError(
            f"data set {name}: for feature extraction only, by `bench features RUN --dataset {name}`: "
            f"{dataset.features_only}"
        )
    if isinstance(dataset, PackedDataset):
        if root is not None:
            raise UserError(f"--root {root}: {name} is drawn or imported and stored in BENCH_CACHE; omit --root")
        dataset.make(progress)
        folder = dataset.cache_folder
        table = dataset.read(folder, split)  # checked when it was written
        return LoadedDataset(
            dataset.name, split, table, PackedStore(folder / PACK), pack_digest(folder), dataset, folder
        )
    root = find_root(name, root)
    table, digest = _read_indexed(name, split, root, dataset, fresh, progress)
    pack_folder = None if fresh else packing.find_pack(name, digest)
    store = packing.open_pack(pack_folder) if pack_folder else FolderStore(root)
    return LoadedDataset(name, split, table, store, digest, dataset, root)


def pack(name: str, root: Path | None = None, progress: Progress = no_progress) -> Path:
    """Pack the frames of all splits of a real data set; returns the pack's folder. An interrupted pack is continued.

    Raises:
        UserError: as `load`; or the data set comes packed.
    """
    dataset = find_dataset(name)
    if isinstance(dataset, PackedDataset):
        raise UserError(f"{name} is drawn or imported and already packed")
    splits = [load(name, split, root, progress, fresh=True) for split in range(dataset.splits)]
    frames = {loaded.digest: [frame for frames in loaded.table.frames for frame in frames] for loaded in splits}
    return packing.write_pack_folder(name, frames, FolderStore(splits[0].root), progress)


def is_packed(name: str) -> bool:
    """Whether a data set comes packed, or has been packed here."""
    comes_packed = isinstance(_find_known(name), PackedDataset)
    return comes_packed or any(packing.find_pack(name, digest) for digest in known_digests(name, 0))


def pack_digest(folder: Path) -> str:
    """sha256 over the table and the frames of a packed data set. It is computed once and stored with them."""
    file = folder / DIGEST_FILE
    stored = _stored_digest(file)
    if stored is None:
        table = tables.read_table(folder / TABLE)
        plain = table.assign(frames=[";".join(frames) for frames in table.frames])
        total = hashlib.sha256(pd.util.hash_pandas_object(plain).to_numpy().tobytes())
        with open(folder / PACK, "rb") as frames:
            total.update(hashlib.file_digest(frames, "sha256").digest())
        stored = total.hexdigest()
        write_atomically(file, json.dumps({"digest": stored}))
    return stored


def _stored_digest(file: Path) -> str | None:
    """The digest in a file, or None if the file is missing or damaged."""
    try:
        return str(json.loads(file.read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_digests(name: str, split: int) -> set[str]:
    """The digests of a data set for every root from which it was read here, without reading it; empty if it never was."""
    dataset = _find_known(name)
    if isinstance(dataset, PackedDataset):
        digest = _stored_digest(dataset.cache_folder / DIGEST_FILE)
        return set() if digest is None else {digest}
    indexes = map(_index_metadata, (cache_dir() / "index").glob(f"{name}-{split}-*.parquet"))
    return {str(index["digest"]) for index in indexes if index is not None}


# The index of a real data set ---------------------------------------------------------------------------------------------


def _read_indexed(
    name: str, split: int, root: Path, dataset: Dataset, fresh: bool, progress: Progress
) -> tuple[pd.DataFrame, str]:
    """The table of a real data set and its digest: from the cache while no folder has changed, else read again."""
    file = _index_file(name, split, root)
    index = None if fresh else _index_metadata(file)
    if index is not None and index["folders"] == _modification_times(root, index["folders"]):
        return tables.read_table(file), index["digest"]
    try:
        table = tables.check(dataset.read(root, split), str(root))
    except (ValueError, TypeError, IndexError, KeyError) as error:  # from files with unexpected contents
        if plugin_at_fault(error):
            raise
        raise UserError(f"{root}: the index files differ from those of the original archive ({error})") from error
    names = [frame for frames in table.frames for frame in frames]
    digest = tables.digest(table, _frame_sizes(root, names, progress))
    parents = sorted({"", *dataset.tables, *(parent for frame in names for parent in _parents(frame))})
    metadata = {"digest": digest, "folders": _modification_times(root, parents)}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), b"bench": json.dumps(metadata)})
    with atomic_file(file) as half:
        pq.write_table(arrow, half)
    return table, digest


def _index_file(name: str, split: int, root: Path) -> Path:
    root_hash = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    return cache_dir() / "index" / f"{name}-{split}-{root_hash}-{_reader_digest(name)}.parquet"


def _frame_sizes(root: Path, names: list[str], progress: Progress) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for start in range(0, len(names), FRAMES_PER_UPDATE):
        sizes |= FolderStore(root).sizes(names[start : start + FRAMES_PER_UPDATE])
        progress(min(start + FRAMES_PER_UPDATE, len(names)), len(names))
    return sizes


def _reader_digest(name: str) -> str:
    """A digest of the code that reads a data set: an index made by other code is not used."""
    files = (Path(__file__).with_name("dataset.py"), Path(__file__).with_name("table.py"), DATASETS.entries[name].file)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _parents(frame: str) -> Iterator[str]:
    parts = frame.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])


def _modification_times(root: Path, parts: Iterable[str]) -> dict[str, int]:
    """The modification time of each folder or file in ns; -1 where it does not exist.

    That of a folder changes when a file is added or removed. `bench data verify` finds frames that are replaced in place.
    """
    times = {}
    for part in parts:
        try:
            times[part] = (root / part).stat().st_mtime_ns
        except OSError:
            times[part] = -1
    return times


def _index_metadata(file: Path) -> dict[str, Any] | None:
    """What an index says about itself, or None if it is missing or damaged."""
    try:
        return dict(json.loads(pq.read_schema(file).metadata[b"bench"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""Load data sets by name: index the folder of a data set once, and load it as a table of tracklets with the store of its frames.

Folders:
    BENCH_DATA   holds a folder for each real data set, as its archives unpack; may be read-only
    BENCH_CACHE  holds derived data: indexes of those folders, packs, drawn and imported data sets (~/.cache/afa-bench)
"""

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.interface.errors import UserError
from baselines.interface.plugins import plugin_at_fault
from benchmarks.atomic import atomic_file, write_atomically
from benchmarks.parsing import LONGEST_TEXT
from benchmarks.paths import cache_dir, data_dir

from . import DATASETS, Progress, no_progress, packing, read_json
from . import table as tables
from .dataset import NOT_PUBLISHED, Dataset, Fault, PackedDataset, StructureError
from .find import find_dataset, find_known
from .frame_stores import PACK, FolderStore, PackedStore, Store
from .leaving_out import digest_without_people, people_note, without_people
from .packed_folder import file_digest, pack_digest, stored_digest

FRAMES_PER_UPDATE = 1000  # frames between two calls of progress


@dataclass(frozen=True)
class LoadedDataset:
    """One split of a data set.

    Attributes:
        name: the full name, as records have it.
        split: which of the data set's splits, from 0.
        table: the tracklets.
        store: the bytes of their frames.
        digest: sha256 of the data, part of every run's name. It is another one where people or frames are left out.
        dataset: its facts.
        root: the folder that it was read from.
        left_out: why each frame was left out that cannot be read, by its name.
    """

    name: str
    split: int
    table: pd.DataFrame
    store: Store
    digest: str
    dataset: Dataset
    root: Path
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`DATASET/SPLIT`, by which records and digests name it."""
        return f"{self.name}/{self.split}"

    @property
    def protocols(self) -> tuple[str, ...]:
        return self.dataset.protocols


def data_note(name: str, split: int, digest: str) -> str:
    """What every table of results on some data must say; empty if nothing, or if the data set is not known here.

    That is that its counts are not the published ones, and the note of the data set; as long as a record may hold.
    """
    dataset = find_known(name)
    if dataset is None:
        return ""
    files = (cache_dir() / "index").glob(f"{glob.escape(name)}-{split}-*.json")
    found = (
        file
        for file in files
        if (note := _index_note(file)) is not None and digest_without_people(name, note["digest"]) == digest
    )
    counts = (_counts_note(dataset, tables.read_table(file.with_suffix(".parquet"))) for file in list(found)[:1])
    return "; ".join(filter(None, (people_note(name), *counts, dataset.note)))[:LONGEST_TEXT]


def counts_note(name: str, root: Path | None = None) -> str:
    """That the counts of the data set in its folder are not the published ones; empty if they are, or if it was not read yet."""
    dataset, table = find_known(name), indexed(name, root)
    return "" if dataset is None or table is None else _counts_note(dataset, table)


def indexed(name: str, root: Path | None = None) -> pd.DataFrame | None:
    """The tracklets in the folder of a data set with published counts, as last read; None if it was not read yet."""
    dataset = find_known(name)
    if dataset is None or not dataset.published or why_unavailable(name, root):
        return None
    file = _index_file(name, 0, find_root(name, root))
    return tables.read_table(file) if file.exists() else None


def _counts_note(dataset: Dataset, table: pd.DataFrame) -> str:
    differences = [f"{what}: {counts}" for what, counts in dataset.count_differences(table).items()]
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
                f"DIR must hold {dataset.layout} (source: {dataset.source})"
            )
        root = base / dataset.folder
    if not root.is_dir():
        raise UserError(
            f"data set {name}: {root} is not a folder; it must hold {dataset.layout} (source: {dataset.source})"
        )
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
    """One split of the data set `name`, without the people who must not be used (see `leaving_out`).

    Args:
        name: a registered name, an imported one, or the longer name of a drawn data set, which is drawn on first use.
        split: 0 to splits - 1.
        root: the data set's folder, where it is not in BENCH_DATA.
        progress: called while a data set is drawn, or a real one is indexed.
        fresh: read the folders of a real data set again even if an index or a pack of them exists, and check the whole table.
        features_only: whether the caller needs no identities and no subsets, so that data without them will do.

    Raises:
        StructureError: wrong structure, or a table that is not valid (see `table.check`).
        UserError: unknown name or split, a data set for feature extraction only, missing root, a damaged file, or a wrong
            line in the list of people who must not be used.
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
        digest = pack_digest(folder)
        table = dataset.read(folder, split)
        _refuse(folder, [], table, dataset, whole=fresh)  # the whole was checked when it was written
        splits = (dataset.read(folder, other) for other in range(dataset.splits))
        table = without_people(dataset.name, table, splits)
        digest = digest_without_people(dataset.name, digest)
        return LoadedDataset(dataset.name, split, table, PackedStore(folder / PACK), digest, dataset, folder)
    root = find_root(name, root)
    table, digest = _read_indexed(name, split, root, dataset, fresh, progress)
    splits = (_read_indexed(name, other, root, dataset, False, progress)[0] for other in range(dataset.splits))
    table, digest = without_people(name, table, splits), digest_without_people(name, digest)
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
    comes_packed = isinstance(find_known(name), PackedDataset)
    return comes_packed or any(packing.find_pack(name, digest) for digest in known_digests(name, 0))


def known_digests(name: str, split: int) -> set[str]:
    """The digests of a data set for every root from which it was read here, without reading it; empty if it never was."""
    dataset = find_known(name)
    if isinstance(dataset, PackedDataset):
        digest = stored_digest(dataset.cache_folder)
        return set() if digest is None else {digest_without_people(dataset.name, digest)}
    notes = map(_index_note, (cache_dir() / "index").glob(f"{glob.escape(name)}-{split}-*.json"))
    return {digest_without_people(name, note["digest"]) for note in notes if note is not None}


# The index of a real data set ---------------------------------------------------------------------------------------------


def _read_indexed(
    name: str, split: int, root: Path, dataset: Dataset, fresh: bool, progress: Progress
) -> tuple[pd.DataFrame, str]:
    """The table of a real data set and its digest: from the cache while no folder has changed, else read again."""
    file = _index_file(name, split, root)
    note_file = file.with_suffix(".json")
    note = None if fresh else _index_note(note_file)
    if note is not None and note["folders"] == _modification_times(root, note["folders"]):
        try:
            if note["table"] == file_digest(file):
                return tables.read_table(file), note["digest"]
        except UserError:  # missing: as if it were damaged
            pass
    faults: list[Fault] = []
    try:
        table = dataset.read(root, split)
    except StructureError as error:
        table, faults = error.table, error.faults
    except (ValueError, TypeError, IndexError, KeyError) as error:  # from files with unexpected contents
        if plugin_at_fault(error):
            raise
        raise UserError(f"{root}: the index files differ from those of the original archive ({error})") from error
    _refuse(root, faults, table, dataset, whole=True)
    names = [frame for frames in table.frames for frame in frames]
    digest = tables.digest(table, _frame_sizes(root, names, progress))
    parents = sorted({"", *dataset.tables, *(parent for frame in names for parent in _parents(frame))})
    with atomic_file(file) as half:
        table.to_parquet(half)
    folders = _modification_times(root, parents)
    write_atomically(note_file, json.dumps({"digest": digest, "table": file_digest(file), "folders": folders}))
    return table, digest


def _refuse(root: Path, faults: list[Fault], table: pd.DataFrame, dataset: Dataset, whole: bool) -> None:
    """Raise a `StructureError` if there are faults, or if the table has some. Unless `whole`, only the quick checks are made."""
    if faults and table.empty:
        raise StructureError(faults, table)
    check = tables.faults if whole else tables.shared_persons
    found = check(table, dataset.overlapping)
    if faults or found:
        readable = isinstance(table, pd.DataFrame) and set(tables.COLUMNS) <= set(table.columns)
        raise StructureError(
            [*faults, *((root, problem) for problem in found)], table if readable else tables.make_table([])
        )


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
    shared = (Path(__file__).with_name(f"{module}.py") for module in ("dataset", "table", "matlab"))
    files = (*shared, DATASETS.entries[name].file)
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
        except (OSError, ValueError):  # the second: not a file name
            times[part] = -1
    return times


def _index_note(file: Path) -> dict[str, Any] | None:
    """What an index says about itself: the data's digest, its own, and the times of the folders. None if missing or damaged."""
    try:
        note = dict(read_json(file))
        return {"digest": str(note["digest"]), "table": str(note["table"]), "folders": dict(note["folders"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None

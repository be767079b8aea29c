"""Stores of encoded frames: a folder of image files, or packed Arrow files. Both read a frame by its name; neither decodes.

Beside each Arrow file, `FILE.crc32` holds a checksum for each frame: the CRC-32 of its name and its bytes. It is checked whenever
the frame is read. It is a file of its own because the digest of a data set covers the bytes of the Arrow file.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file, damaged_file, reading_derived_file

PACK = "frames.arrow"  # in the folder of a packed data set
SCHEMA = pa.schema([("name", pa.string()), ("data", pa.binary())])
BATCH = 1024  # frames per record batch: large enough that finding one is cheap, small enough to stream


class Store(Protocol):
    """Encoded frames by name."""

    def read(self, name: str) -> bytes | memoryview:
        """The encoded image of the frame `name`, as on disk.

        Raises:
            UserError: no such frame, or a damaged one.
        """
        ...

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """The size of each frame in bytes, without the frames that are missing."""
        ...


class FolderStore:
    """Image files in a root folder, as the original archives unpack. Never written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.root / name}: {error.strerror}; `bench data verify` lists every such frame"
            ) from error

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        sizes = {}
        for name in names:
            try:
                sizes[name] = (self.root / name).stat().st_size
            except OSError:
                continue
        return sizes


class PackedStore:
    """Arrow files of (name, image bytes), memory-mapped: opening sorts the names, reading copies nothing.

    The names are an array of fixed width, sorted and searched by bisection. A dict of a million strings would be most of a run's
    start-up time, and a copy in each worker.
    """

    def __init__(self, *files: Path) -> None:
        self.files = files
        self._open()

    def _open(self) -> None:
        tables = [_mapped(file) for file in self.files]
        self._ends = list(accumulate(map(len, tables)))
        self._checksums = np.concatenate([_checksums(*each) for each in zip(self.files, tables, strict=True)])
        table = pa.concat_tables(tables)
        self._data = table.column("data")
        names = table.column("name").combine_chunks()
        width = pc.max(pc.binary_length(names)).as_py() or 1
        padded = pc.ascii_rpad(names, width, "\0").cast(pa.binary()).cast(pa.binary(width))
        padded = np.frombuffer(padded.buffers()[1], f"S{width}")
        self._rows = np.argsort(padded, kind="stable")
        self._names = padded[self._rows]

    def __getstate__(self) -> dict[str, tuple[Path, ...]]:
        return {"files": self.files}  # each worker process maps the files itself

    def __setstate__(self, state: dict[str, tuple[Path, ...]]) -> None:
        self.files = state["files"]
        self._open()

    @property
    def names(self) -> list[str]:
        """The names of all frames, sorted."""
        return [name.decode() for name in self._names.tolist()]

    def _find(self, name: str) -> int | None:
        """The row of a frame, or None."""
        key = name.encode()
        index = self._names.searchsorted(key)
        if index == len(self._names) or self._names[index] != key:
            return None
        return int(self._rows[index])

    def _bytes(self, row: int) -> memoryview:
        return memoryview(self._data[row].as_buffer()).cast("B")

    def read(self, name: str) -> memoryview:
        row = self._find(name)
        if row is None:
            raise UserError(f"{self.files[0]}: no frame {name!r} in the pack")
        data = self._bytes(row)
        if checksum(name, data) != self._checksums[row]:
            file = next(file for file, end in zip(self.files, self._ends, strict=True) if row < end)
            raise damaged_file(file, f"the checksum of frame {name!r} is wrong")
        return data

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        return {name: self._bytes(row).nbytes for name in names if (row := self._find(name)) is not None}


def _mapped(file: Path) -> pa.Table:
    with reading_derived_file(file):
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        table.validate(full=True)  # the offsets, which are not checked when they are used
        if table.schema != SCHEMA:
            raise ValueError("not a pack of frames")
        return table


def checksum(name: str, data: bytes | memoryview) -> int:
    """The CRC-32 of a frame's name and bytes. The name is part of it, so that no frame can pass for another."""
    return crc32(data, crc32(name.encode()))


def checksums_file(pack: Path) -> Path:
    """The file with the checksums of a pack's frames, in the order of its rows: uint32, little-endian."""
    return pack.with_name(f"{pack.name}.crc32")


def _checksums(pack: Path, table: pa.Table) -> np.ndarray:
    """The checksums of a pack. A pack of a version that did not write them is taken as it is, and gets them now."""
    file = checksums_file(pack)
    if not file.exists():
        rows = zip(table.column("name"), table.column("data"), strict=True)
        _write_checksums(file, [checksum(name.as_py(), memoryview(data.as_buffer())) for name, data in rows])
    with reading_derived_file(file):
        checksums = np.fromfile(file, "<u4")
        if len(checksums) != len(table):
            raise ValueError(f"{len(checksums)} checksums for {len(table)} frames")
    return checksums


def _write_checksums(file: Path, checksums: list[int]) -> None:
    with atomic_file(file) as half:
        half.write_bytes(np.array(checksums, "<u4").tobytes())


def read_pack(file: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each frame of a pack, in its order."""
    store = PackedStore(file)
    for name in _mapped(file).column("name").to_pylist():
        yield name, bytes(store.read(name))


def write_pack(file: Path, frames: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, bytes) pairs and their checksums to `file`, completely or not at all, with one batch in memory."""
    checksums: list[int] = []
    with atomic_file(file) as half:
        with pa.OSFile(str(half), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for names, data in _batches(frames):
                checksums += map(checksum, names, data)
                writer.write_batch(pa.record_batch([pa.array(names, pa.string()), pa.array(data, pa.binary())], SCHEMA))
        _write_checksums(checksums_file(file), checksums)  # before the pack exists, which would get new ones


def _batches(frames: Iterable[tuple[str, bytes]]) -> Iterator[tuple[list[str], list[bytes]]]:
    names: list[str] = []
    data: list[bytes] = []
    for name, image in frames:
        names.append(name)
        data.append(image)
        if len(names) == BATCH:
            yield names, data
            names, data = [], []
    if names:
        yield names, data

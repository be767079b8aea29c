"""Stores of encoded frames: a folder of image files, or packed Arrow files. Both read a frame by its name; neither decodes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file, reading_derived_file

PACK = "frames.arrow"  # in the folder of a packed data set
SCHEMA = pa.schema([("name", pa.string()), ("data", pa.binary())])
BATCH = 1024  # frames per record batch: large enough that finding one is cheap, small enough to stream


class Store(Protocol):
    """Encoded frames by name."""

    def read(self, name: str) -> bytes | memoryview:
        """The encoded image of the frame `name`, as on disk.

        Raises:
            UserError: no such frame.
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
        table = pa.concat_tables(_mapped(file) for file in self.files)
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

    def _find(self, name: str) -> memoryview | None:
        key = name.encode()
        index = self._names.searchsorted(key)
        if index == len(self._names) or self._names[index] != key:
            return None
        return memoryview(self._data[self._rows[index]].as_buffer()).cast("B")

    def read(self, name: str) -> memoryview:
        data = self._find(name)
        if data is None:
            raise UserError(f"{self.files[0]}: no frame {name!r} in the pack")
        return data

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        return {name: data.nbytes for name in names if (data := self._find(name)) is not None}


def _mapped(file: Path) -> pa.Table:
    with reading_derived_file(file):
        return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def read_pack(file: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each frame of a pack, in its order."""
    store = PackedStore(file)
    for name in _mapped(file).column("name").to_pylist():
        yield name, bytes(store.read(name))


def write_pack(file: Path, frames: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, bytes) pairs to `file`, completely or not at all, with one batch in memory."""
    with atomic_file(file) as half, pa.OSFile(str(half), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for names, data in _batches(frames):
            writer.write_batch(pa.record_batch([pa.array(names, pa.string()), pa.array(data, pa.binary())], SCHEMA))


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

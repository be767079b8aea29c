"""Compare the packed store with LMDB on the same synthetic frames: `python -m benchmarks.speed.compare_lmdb`.

Install lmdb by hand; the project itself does not need it. The output is in results/measured/stores.txt and supports the choice
in docs/speed.md.
"""

import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tabulate import tabulate

from benchmarks.data.frame_stores import PackedStore, write_pack

T = TypeVar("T")
TRACKLETS, FRAMES, READ = 1000, 60, 3000  # frames per tracklet; clips of 7 to read
LARGEST = 8000  # bytes of a frame, of which the smallest has 3,500


def timed(call: Callable[..., T], *arguments: Any) -> tuple[float, T]:
    """The seconds of a call, and what it returned."""
    start = time.perf_counter()
    found = call(*arguments)
    return time.perf_counter() - start, found


def main() -> None:
    """Write, open and read both, three times each; print the medians."""
    lmdb: Any = import_module("lmdb")
    draw = np.random.default_rng(0)
    noise = draw.bytes(LARGEST)
    names = [f"{pid:04d}/{pid:04d}C1T0001F{n:03d}.jpg" for pid in range(TRACKLETS) for n in range(FRAMES)]
    frames = [(name, noise[:size]) for name, size in zip(names, draw.integers(3500, LARGEST, len(names)), strict=True)]
    read = [
        names[pid * FRAMES + n] for pid in draw.integers(0, TRACKLETS, READ) for n in sorted(draw.choice(FRAMES, 7))
    ]

    def fill(place: Path) -> None:
        with lmdb.open(str(place), map_size=1 << 31) as store:
            for first in range(0, len(frames), 1024):
                with store.begin(write=True) as batch:
                    for name, data in frames[first : first + 1024]:
                        batch.put(name.encode(), data)

    def read_all(get: Callable[[Any], Any], names: list[Any]) -> None:
        for name in names:
            np.frombuffer(get(name), np.uint8).sum()  # every byte is looked at

    def measured(pack: Path, other: Path) -> list[Any]:
        written = timed(write_pack, pack, frames)[0], timed(fill, other)[0]
        ours, store = timed(PackedStore, pack)
        theirs, opened = timed(lambda: lmdb.open(str(other), readonly=True, lock=False).begin(buffers=True))
        keys = [name.encode() for name in read]
        spans = [[timed(read_all, store.read, read)[0], timed(read_all, opened.get, keys)[0]] for _ in range(5)]
        disk = pack.stat().st_size, sum(file.stat().st_blocks * 512 for file in other.iterdir())
        return [disk, written, (ours, theirs), np.min(spans, axis=0)]

    rounds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(measured(Path(folder) / "pack.arrow", Path(folder) / "lmdb"))
    disk, written, opening, reading = np.median(np.array(rounds, float), axis=0)
    rows = [
        ("MB on disk", *(f"{size / 1e6:.0f}" for size in disk)),
        ("s to write", *(f"{span:.2f}" for span in written)),
        ("ms to open", *(f"{1e3 * span:.1f}" for span in opening)),
        ("µs to read a frame", *(f"{1e6 * span / len(read):.1f}" for span in reading)),
    ]
    print(f"{len(frames):,} frames, {sum(len(data) for _, data in frames) / 1e6:.0f} MB")
    print(tabulate(rows, ("", "Arrow", f"LMDB {'.'.join(map(str, lmdb.version()))}"), disable_numparse=True))


if __name__ == "__main__":
    main()

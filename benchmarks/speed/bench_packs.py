"""Opening a packed data set of MARS's size, and packing, compared with copying the files."""

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from benchmarks.clips.training_batches import TrainingBatches
from benchmarks.data import IMPORT_NOTE, imported_folder
from benchmarks.data.frame_stores import PACK, PackedStore, write_pack
from benchmarks.data.loading import load, pack
from benchmarks.data.packed_folder import pack_digest
from benchmarks.data.table import TABLE, make_table
from benchmarks.experiments.settings import resolve

from .comparison import compare, note_row

PEOPLE, CAMERAS, LENGTH = 1250, 4, 60  # four tracklets of each person and camera
ROUNDS = 5


def test_start(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the table to the first clip; every frame is one small image, for no other is looked at."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    settings = resolve("small", "mean", ["identities=2", "clips=2"])
    image = simplejpeg.encode_jpeg(np.zeros((settings.height, settings.width, 3), np.uint8))
    rows = []
    for number in range(PEOPLE * CAMERAS * 4):
        pid, camid, again = number // 16, number % CAMERAS + 1, number % 16 // CAMERAS + 1
        name = f"{pid:04d}C{camid}T{again:04d}"
        frames = [f"{pid:04d}/{name}F{frame:03d}.jpg" for frame in range(1, LENGTH + 1)]
        rows.append(("train" if pid % 2 else "gallery", pid, camid, name, frames))
    folder = imported_folder("large")
    write_pack(folder / PACK, ((frame, image) for row in rows for frame in row[-1]))
    make_table(rows).to_parquet(folder / TABLE)
    (folder / IMPORT_NOTE).write_text(json.dumps({}))
    pack_digest(folder)

    def start() -> None:
        data = load("large")
        assert len(TrainingBatches(data.table[data.table.subset == "train"], data.store, settings, 0)[0].frames) == 4

    benchmark.pedantic(start, rounds=ROUNDS, warmup_rounds=1)
    note_row(
        benchmark,
        what=f"a packed data set of {len(rows):,} tracklets and {len(rows) * LENGTH:,} frames: from table to first clip",
        limit="",
        ratio=float(np.median(benchmark.stats.stats.data)),
        target=1,
        unit="s",
    )


def test_packing(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of `bench data pack`: the folders are read and every file looked at, and what is written is on the disk."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    drawn = load("walkers:tiny-256x128")
    images = [bytes(drawn.store.read(name)) for frames in drawn.table.frames for name in frames]
    root, number = tmp_path / "root", count()
    for subset in ("train", "query", "gallery"):
        first = 41 if subset == "train" else 1  # nobody is in training and test
        for pid in range(first, first + 40):
            folder = root / subset / f"{pid:04d}" / "0001"
            folder.mkdir(parents=True)
            for frame in range(1, 101):
                file = folder / f"{pid:04d}_C{1 + (subset == 'query')}_F{frame:04d}_X{frame:05d}.jpg"
                file.write_bytes(images[(pid * 100 + frame) % len(images)])

    def pack_anew() -> None:
        shutil.rmtree(tmp_path / "cache/packs", ignore_errors=True)
        pack("dukev", root)

    def copy() -> None:
        shutil.copytree(root, tmp_path / f"copy-{next(number)}")

    compare(
        benchmark,
        pack_anew,
        copy,
        what="packing a data set of 12,000 files",
        limit="a copy of its folders",
        target=1.3,
        rounds=ROUNDS,
        count=12_000,
        unit="files",
    )


def test_checksums(benchmark: Any) -> None:
    """Every frame's checksum is read with it: what that adds to decoding it."""
    store = load("walkers:tiny-256x128").store
    assert isinstance(store, PackedStore)
    names = store.names[:500]

    def checked() -> None:
        for name in names:
            simplejpeg.decode_jpeg(store.read(name))

    def unchecked() -> None:
        for name in names:
            row = store._find(name)
            assert row is not None
            simplejpeg.decode_jpeg(store._bytes(row))

    compare(
        benchmark,
        checked,
        unchecked,
        what="reading packed frames of 256x128 with their checksums, and decoding them",
        limit="the same without checksums",
        target=1.05,
        rounds=ROUNDS,
        count=len(names),
        note="a CRC-32 of the frame's name and bytes",
    )

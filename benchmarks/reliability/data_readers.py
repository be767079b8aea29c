"""The readers of data: frames, tables, and the files from which data are imported."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.clips.decode import decode_frames
from benchmarks.data.frame_stores import FolderStore, PackedStore, write_pack
from benchmarks.data.image_lists import read_listing
from benchmarks.data.import_video import read_identities, read_tracks
from benchmarks.data.matlab import read_matlab
from benchmarks.data.packed_folder import pack_digest, write_packed
from benchmarks.data.table import make_table, read_table

from .reader import Reader, draw, write_text


def _make_frame(folder: Path) -> Path:
    smooth = np.kron(draw().integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "frame.jpg", quality=90)
    return folder / "frame.jpg"


def _read_frame(file: Path) -> bytes:
    return decode_frames(FolderStore(file.parent), [file.name], 64, 32).tobytes()


def _pillow_opens(file: Path, _: Any) -> bool:
    """JPEG has no checksum: whether another decoder finds an image too."""
    with Image.open(file) as image:
        return image.size[0] > 0


def _make_matlab(folder: Path) -> Path:
    from scipy.io import savemat

    savemat(folder / "tracks.mat", {"track_train_info": draw().integers(1, 99, (20, 4))}, do_compression=True)
    return folder / "tracks.mat"


def _read_matlab(file: Path) -> str:
    return str(read_matlab(file, "track_train_info").tolist())


def _make_tracks(folder: Path) -> Path:
    rows = (f"{frame},{track},{10 * track},5.5,20,40,1,-1,-1,-1" for track in range(1, 5) for frame in range(1, 6))
    return write_text(folder / "tracks.txt", "\n".join(rows) + "\n")


def _read_tracks(file: Path) -> str:
    return str(read_tracks(file).to_csv(index=False))


def _same_tracks(file: Path, result: str) -> bool:
    """Plain decimal numbers, as many in each row; the seventh, if there is one, is not 0, and later ones are not used."""
    rows = [line.split(",") for line in file.read_text().split("\n") if line.strip()]
    plain = all(re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", word) for row in rows for word in row[:7])
    kept = [[float(word) for word in row[:6]] for row in rows if len(row) < 7 or float(row[6]) != 0] if plain else []
    even = len({len(row) for row in rows}) == 1
    return even and np.array_equal(pd.read_csv(io.StringIO(result)).to_numpy(float), np.array(kept))


def _make_identities(folder: Path) -> Path:
    return write_text(folder / "identities.csv", "track_id,identity\n" + "".join(f"{i},{i // 2}\n" for i in range(20)))


def _read_identities(file: Path) -> str:
    return json.dumps(read_identities(file))


def _same_identities(file: Path, result: str) -> bool:
    with open(file, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {str(int(row["track_id"])): int(row["identity"]) for row in rows} == json.loads(result)


def _make_listing(folder: Path) -> Path:
    lines = (f"a/{i}.jpg,{i // 4},{i % 2},t{i // 2}" for i in range(16))
    return write_text(folder / "list.csv", "frame,pid,camid,tracklet\n" + "\n".join(lines) + "\n")


def _read_listing(file: Path) -> str:
    return str(read_listing(file.parent, file).to_json())


def _same_listing(file: Path, result: str) -> bool:
    with open(file, newline="", encoding="utf-8") as stream:
        frames = [str(Path(row["frame"])) for row in csv.DictReader(stream)]
    return frames == list(pd.read_json(io.StringIO(result), dtype=False).frame)


def _make_pack(folder: Path) -> Path:
    write_pack(folder / "frames.arrow", ((f"a/{i}.jpg", bytes([i] * 50)) for i in range(20)))
    return folder / "frames.arrow"


def _read_pack(file: Path) -> bytes:
    store = PackedStore(file)
    return b"".join(store.read(f"a/{i}.jpg") for i in range(20))


def _make_table(folder: Path) -> Path:
    rows = [("train", i // 2, i % 2, f"t{i}", [f"a/{i}-{frame}.jpg" for frame in range(3)]) for i in range(12)]
    write_packed(folder, make_table(rows), ((frame, b"1") for row in rows for frame in row[-1]))
    return folder / "table.parquet"


def _read_table(file: Path) -> str:
    pack_digest(file.parent)  # as each command does
    table = read_table(file)
    return str(table.assign(frames=[list(frames) for frames in table.frames]).to_json())


DATA_READERS = (
    Reader("frame (JPEG)", _make_frame, _read_frame, "frame.jpg", _pillow_opens),
    Reader("MATLAB file", _make_matlab, _read_matlab, "tracks.mat"),
    Reader("MOT tracks", _make_tracks, _read_tracks, "tracks.txt", _same_tracks),
    Reader("identities (CSV)", _make_identities, _read_identities, "identities.csv", _same_identities),
    Reader("list of images (CSV)", _make_listing, _read_listing, "list.csv", _same_listing),
    Reader("pack of frames", _make_pack, _read_pack, "frames.arrow"),
    Reader("table of tracklets", _make_table, _read_table, "table.parquet"),
)

"""The readers of data: frames, tables, and the files from which data are imported."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import multimode
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pandas as pd
import simplejpeg
from PIL import Image

from benchmarks.clips.decode import decode_frames
from benchmarks.data import import_video
from benchmarks.data.attributes import read_attributes
from benchmarks.data.datasets import prid2011
from benchmarks.data.frame_stores import FolderStore, PackedStore, write_pack
from benchmarks.data.image_lists import read_listing
from benchmarks.data.import_video import read_identities, read_tracks
from benchmarks.data.leaving_out import excluded_people
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
    lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line]
    return frames == list(pd.read_json(io.StringIO(result), dtype=False).frame) and len(lines) == 1 + len(frames)


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


def _make_video(folder: Path) -> Path:
    """Each picture differs from all others everywhere, so that a crop tells from which frame it is."""
    out = cv2.VideoWriter(str(folder / "walk.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32))
    for picture in _pictures():
        out.write(picture)
    out.release()
    write_text(folder / "tracks.txt", "".join(f"{frame},1,4,4,16,24,1\n" for frame in range(1, 4)))
    return folder / "walk.avi"


def _pictures() -> np.ndarray:
    return np.kron(draw().integers(0, 255, (3, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)


def _read_video(file: Path) -> list[tuple[str, bytes]]:
    def keep(_: Path, __: pd.DataFrame, crops: Iterable[tuple[str, bytes]], *___: Any, **____: Any) -> None:
        kept.extend(crops)

    kept: list[tuple[str, bytes]] = []
    with patch.object(import_video, "write_import", keep):  # to the disk takes longer than the reading
        import_video.import_videos(
            [import_video.Video(file, file.with_name("tracks.txt"))], "fuzzed", file.parent / "made"
        )
    return kept


def _no_later_frame(_: Path, result: list[tuple[str, bytes]]) -> bool:
    """Pixels have no checksum, and in place of a damaged picture, OpenCV shows one before it.

    But each box has a crop, and none is of a later frame, as if a frame before it were lost.
    """
    pictures = _pictures()[:, 4:28, 4:20].astype(float)
    crops = [simplejpeg.decode_jpeg(crop, colorspace="BGR") for _, crop in result]
    same = [
        [crop.shape == picture.shape and np.abs(crop - picture).mean() < 12 for picture in pictures] for crop in crops
    ]
    return len(crops) == 3 and not np.any(np.array(same) & np.triu(np.ones((3, 3), bool), 1))


PERSONS = [f"person_{number:04}" for number in range(1, 9)]


def _make_split(folder: Path) -> Path:
    for person in PERSONS:
        for camera in prid2011.CAMERAS:
            (folder / camera / person).mkdir(parents=True, exist_ok=True)
            (folder / camera / person / "0001.png").touch()
    return write_text(folder / prid2011.SPLITS, json.dumps([{"train": PERSONS[:4], "test": PERSONS[4:]}]))


def _read_split(file: Path) -> str:
    table = prid2011.Prid2011().read(file.parent, 0)
    return json.dumps([sorted({int(pid) for pid in table.pid[table.subset == part]}) for part in ("train", "query")])


def _same_split(file: Path, result: str) -> bool:
    """The same people. Checks of the whole table later refuse a person who is listed twice."""
    split = json.loads(file.read_bytes())[0]
    return [
        sorted({int(name.removeprefix("person_")) for name in split[part]}) for part in ("train", "test")
    ] == json.loads(result)


def _make_attributes(folder: Path) -> Path:
    rows = (f"{i // 2},{('red', 'blue', '')[i % 3]},{i % 5}" for i in range(20))
    return write_text(folder / "attributes.csv", "pid,colour,age\n" + "\n".join(rows) + "\n")


def _read_attributes(file: Path) -> str:
    return json.dumps(read_attributes(file).to_dict(orient="index"))


def _same_attributes(file: Path, result: str) -> bool:
    """The most frequent value of each person, with one line for each row."""
    head, *lines = filter(None, file.read_text(encoding="utf-8").splitlines())
    names = next(csv.reader([head]))
    rows = [[cell.strip() for cell in next(csv.reader([line]))] for line in lines]
    values: dict[str, list[list[str]]] = {}
    for pid, *row in rows:
        values.setdefault(str(int(pid)), []).append(row)
    found = {
        pid: {
            name.strip(): min(multimode(filter(None, column)), default="")
            for name, column in zip(names[1:], zip(*rows, strict=True), strict=True)
            if name.strip() not in ("camera", "tracklet")
        }
        for pid, rows in values.items()
    }
    return found == json.loads(result)


def _make_exclusions(folder: Path) -> Path:
    return write_text(folder / "excluded.txt", "# withdrew\n" + "".join(f"mars {17 * i}  # {i}\n" for i in range(9)))


def _read_exclusions(file: Path) -> str:
    with patch.dict(os.environ, {"BENCH_EXCLUDE": str(file), "BENCH_CACHE": str(file.parent)}):
        return json.dumps(sorted(excluded_people("mars")))


def _same_exclusions(file: Path, result: str) -> bool:
    """A changed number is another person; each line that is not a comment names a data set and a number."""
    lines = (re.sub("#.*", "", line) for line in file.read_text(encoding="utf-8").splitlines())
    return sorted({int(pid) for line in lines for pid in re.findall(r"^\s*mars\s+([0-9]+)", line)}) == json.loads(
        result
    )


DATA_READERS = (
    Reader("frame (JPEG)", _make_frame, _read_frame, "frame.jpg", _pillow_opens),
    Reader("MATLAB file", _make_matlab, _read_matlab, "tracks.mat"),
    Reader("MOT tracks", _make_tracks, _read_tracks, "tracks.txt", _same_tracks),
    Reader("identities (CSV)", _make_identities, _read_identities, "identities.csv", _same_identities),
    Reader("list of images (CSV)", _make_listing, _read_listing, "list.csv", _same_listing),
    Reader("pack of frames", _make_pack, _read_pack, "frames.arrow"),
    Reader("table of tracklets", _make_table, _read_table, "table.parquet"),
    Reader("video (AVI)", _make_video, _read_video, "walk.avi", _no_later_frame),
    Reader("split (JSON)", _make_split, _read_split, prid2011.SPLITS, _same_split),
    Reader("attributes (CSV)", _make_attributes, _read_attributes, "attributes.csv", _same_attributes),
    Reader("excluded people", _make_exclusions, _read_exclusions, "excluded.txt", _same_exclusions),
)

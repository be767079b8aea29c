"""A drawn video, drawn images, and their import."""

import cv2
import numpy as np
import pytest

from benchmarks.data import imported_folder
from benchmarks.data.import_images import import_images
from benchmarks.data.import_video import Video, import_videos

from .drawn_tracks import COLOURS, FRAMES, GREY, HEIGHT, LENGTHS, PEOPLE, WIDTH, box, row


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    file = tmp_path_factory.mktemp("video") / "walk.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    for frame in range(1, FRAMES + 1):
        picture = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
        for track, colour in COLOURS.items():
            left, top, width, height = box(track, frame)
            picture[top : top + height, left : left + width] = colour
        writer.write(picture)
    writer.release()
    return file


@pytest.fixture
def bring(video, tmp_path):
    """`bring(**changes)` imports the video into tmp_path/made. `rows` and `people` replace the two text files."""
    every = [row(track, frame) for track, length in LENGTHS.items() for frame in range(1, length + 1)]

    def call(rows=every, people=PEOPLE, to="made", name="walk", **options):
        (tmp_path / "tracks.txt").write_text("\n".join(rows) + "\n")
        text = people if isinstance(people, str) else "\n".join(f"{track},{pid}" for track, pid in people.items())
        (tmp_path / "people.csv").write_text(f"track_id,identity\n{text}\n")
        options = {"tracklet_frames": 10, **options}
        files = [options.pop("video", video), tmp_path / "tracks.txt", tmp_path / "people.csv"]
        return import_videos([Video(*files)], name, tmp_path / to, **options)

    return call


@pytest.fixture
def draw(tmp_path):
    """`draw(path, ...)` writes an image to each path in tmp_path/images, each with pixels and a size of its own."""

    def write(*names):
        for number, name in enumerate(names):
            file = tmp_path / "images" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            size = (16 + number % 3, 8 + number % 2, 3)
            assert cv2.imwrite(str(file), np.random.default_rng(list(name.encode())).integers(0, 256, size, np.uint8))
        return tmp_path / "images"

    return write


@pytest.fixture
def bring_images(tmp_path, monkeypatch):
    """`bring_images(rows, **options)` imports tmp_path/images, by a CSV of those rows or, without them, as the options say."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def call(rows=None, name="mine", header="subset,pid,camid,tracklet,frame", **options):
        if rows is not None:
            (tmp_path / "list.csv").write_text("\n".join([header, *rows]) + "\n")
            options = {"csv": tmp_path / "list.csv", **options}
        return import_images(tmp_path / "images", name, imported_folder(name), **options)

    return call

"""Tracks of a drawn video: what is where in it, and what an import made of them."""

import json

import cv2
import numpy as np

from benchmarks.data.frame_stores import PackedStore

WIDTH, HEIGHT, FRAMES = 320, 240, 40
GREY = (128, 128, 128)
COLOURS = {  # BGR, one a track
    1: (0, 0, 255),
    2: (0, 255, 0),
    3: (255, 0, 0),
    4: (0, 255, 255),
    5: (255, 0, 255),
}
PEOPLE = {1: 10, 2: 10, 3: 20, 4: 20, 5: 30}
LENGTHS = {1: 40, 2: 25, 3: 24, 4: 3, 5: 10}


def box(track, frame):
    """Left, top, width, height: 24 x 32. It moves by more than its width per frame, so that a crop from another frame would show
    grey."""
    return 24 + 48 * (frame % 5), 4 + 46 * (track - 1), 24, 32


def row(track, frame, conf="1"):
    return ",".join(map(str, (frame, track, *box(track, frame), conf, -1, -1, -1)))


def crop(folder, name):
    return cv2.imdecode(np.frombuffer(PackedStore(folder / "frames.arrow").read(name), np.uint8), cv2.IMREAD_COLOR)


def made_from(folder):
    """What the note of the only video says."""
    (about,) = json.loads((folder / "made/import.json").read_text())["videos"]
    return about

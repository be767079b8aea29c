"""Encoded images to uint8 pixels of one size."""

from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from baselines.interface.errors import UserError
from benchmarks.data.frame_stores import Store

# One thread: frames are many and small, and a worker process that is forked from a parent whose OpenCV has started
# threads of its own hangs at its first call.
cv2.setNumThreads(1)

Pixels = NDArray[np.uint8]
JPEG = b"\xff\xd8"  # how a JPEG begins; a damaged one must be refused, and not handed to a more forgiving decoder


def decode(data: bytes | memoryview, place: Pixels, name: str = "") -> None:
    """One frame into `place`, (height, width, 3) RGB.

    JPEG by simplejpeg, which measured fastest; everything else by OpenCV. A frame of another size is resized: by area
    where it shrinks, else bilinearly.

    Raises:
        UserError: not an image; the message begins with `name`.
    """
    height, width = place.shape[:2]
    image: Pixels | None
    try:
        if data[:2] != JPEG:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        elif simplejpeg.decode_jpeg_header(data)[:2] == (height, width):
            simplejpeg.decode_jpeg(data, buffer=place)
            return
        else:
            image = simplejpeg.decode_jpeg(data)
    except (ValueError, cv2.error):
        image = None
    if image is None:
        raise UserError(f"{name}: not a readable image; `bench data verify` lists every such frame")
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    cv2.resize(image, (width, height), place, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def decode_frames(store: Store, names: Sequence[str], height: int, width: int) -> Pixels:
    """The named frames (N, height, width, 3) RGB.

    Each is decoded into one small array, which stays in the cache, and copied once: a decoder that writes into fresh memory
    waits for its pages.
    """
    frames = np.empty((len(names), height, width, 3), np.uint8)
    frame = np.empty((height, width, 3), np.uint8)
    for place, name in zip(frames, names, strict=True):
        decode(store.read(name), frame, name)
        place[:] = frame
    return frames

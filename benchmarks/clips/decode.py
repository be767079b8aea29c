"""Decode images to uint8 pixels of one size."""

from collections.abc import Sequence

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from baselines.interface.errors import UserError
from benchmarks.data.frame_stores import Store
from benchmarks.data.images import JPEG, checked_size

# One thread: frames are many and small. A worker process hangs at its first call if it is forked from a parent whose OpenCV has
# started threads.
cv2.setNumThreads(1)

Pixels = NDArray[np.uint8]


def decode(data: bytes | memoryview, out: Pixels, name: str = "") -> None:
    """Decode one frame into `out`, (height, width, 3) RGB.

    JPEG is decoded by simplejpeg, the fastest decoder we measured, everything else by OpenCV. A damaged JPEG is refused and does
    not go to OpenCV, which is more lenient. A frame of another size is
    resized: by area averaging if both sides shrink, else bilinearly.

    Raises:
        UserError: not an image, or one with more than LARGEST_IMAGE pixels. The message begins with `name`.
    """
    height, width = out.shape[:2]
    image: Pixels | None
    try:
        size = checked_size(data)
        if data[:2] != JPEG:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        elif size == (height, width):
            simplejpeg.decode_jpeg(data, buffer=out)
            return
        else:
            image = simplejpeg.decode_jpeg(data)
        if image is None:
            raise ValueError("cut short")
    except (ValueError, cv2.error) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name}: not a readable image ({reason}); `bench data verify` lists every such frame"
        ) from error
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    cv2.resize(image, (width, height), out, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


ENLARGED = 1.125  # factor before a random crop, as in the field's image code


def enlarged(height: int, width: int) -> tuple[int, int]:
    """The size of a frame before a random crop."""
    return round(ENLARGED * height), round(ENLARGED * width)


def decode_frames(
    store: Store,
    names: Sequence[str],
    height: int,
    width: int,
    crops: NDArray[np.int64] | None = None,
    out: Pixels | None = None,
) -> Pixels:
    """The named frames, (N, height, width, 3) RGB.

    Args:
        crops: (N, 2) top and left of each frame's crop in the frame of the `enlarged` size; -1 for the whole frame.
        out: memory for the frames, of their shape.
    """
    frames = np.empty((len(names), height, width, 3), np.uint8) if out is None else out
    larger = np.empty((*enlarged(height, width), 3), np.uint8)
    places = [(-1, -1)] * len(names) if crops is None else crops.tolist()
    for target, name, (top, left) in zip(frames, names, places, strict=True):
        if top < 0:
            decode(store.read(name), target, name)
        else:
            decode(store.read(name), larger, name)
            target[:] = larger[top : top + height, left : left + width]
    return frames

"""Encoded images to uint8 pixels of one size."""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from baselines.errors import UserError

# One thread: frames are many and small, and a worker process that is forked from a parent whose OpenCV has started
# threads of its own hangs at its first call.
cv2.setNumThreads(1)

Pixels = NDArray[np.uint8]
JPEG = b"\xff\xd8"  # how a JPEG begins; a damaged one must be refused, and not handed to a more forgiving decoder


def decode(data: bytes | memoryview, height: int, width: int, name: str = "") -> Pixels:
    """One frame, (height, width, 3) RGB.

    JPEG by simplejpeg, which measured fastest; everything else by OpenCV. A frame of another size is resized: by area
    where it shrinks, else bilinearly.

    Raises:
        UserError: not an image; the message begins with `name`.
    """
    image: Pixels | None
    try:
        if bytes(data[:2]) == JPEG:
            image = simplejpeg.decode_jpeg(data)
        else:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except (ValueError, cv2.error):
        image = None
    if image is None:
        raise UserError(f"{name}: not a readable image; `bench data verify` lists every such frame")
    if image.shape[:2] != (height, width):
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return image

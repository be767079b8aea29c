"""The size that the header of an encoded image states, read before a decoder asks for memory."""

import io
import struct

import simplejpeg
from PIL import Image

LARGEST_IMAGE = 2**26  # pixels, 192 MiB. The header of a small file can claim 65,500 x 65,500: 12 GiB
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"  # the first bytes of a file


def checked_size(data: bytes | memoryview) -> tuple[int, int]:
    """The height and width of an encoded image, in pixels.

    Raises:
        ValueError: no image, or one with more than LARGEST_IMAGE pixels.
    """
    height, width = _size(data)
    if height * width > LARGEST_IMAGE:
        raise ValueError(f"claims {width:,} x {height:,} pixels; an image may have {LARGEST_IMAGE:,} at most")
    return height, width


def _size(data: bytes | memoryview) -> tuple[int, int]:
    if data[:2] == JPEG:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        return int(height), int(width)
    if data[:8] == PNG and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(height), int(width)
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header alone
            return image.height, image.width
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("no image in a known format, or too large") from error

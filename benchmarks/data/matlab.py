"""Read one array of numbers from a MATLAB file of version 5 ("MAT-File Format", The MathWorks), without trusting it.

A crafted file can crash SciPy's reader, and with it the process. Here every size is checked against the bytes that are there.
Only real arrays of numbers are read, which is what index files of data sets hold.
"""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.interface.errors import UserError

HEADER = 128  # bytes: a text, then the version, and "IM" where numbers are little-endian
LARGEST = 2**28  # bytes of an array that is stored compressed; those of MARS are below 2^20
COMPRESSED, MATRIX = 15, 14  # types of elements
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)  # from double to uint64
COMPLEX = 0x800  # a flag of an array


def read_matlab(file: Path, variable: str) -> np.ndarray:
    """One variable of a MATLAB file as int64. Such files hold integers as float64 or as small unsigned types, whose
    differences wrap around.

    Raises:
        OSError: the file cannot be read.
        UserError: the file is damaged, lacks the variable, or holds anything but whole numbers in it.
    """
    content = file.read_bytes()
    try:
        order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
        if order is None:
            raise ValueError("not of version 5")
        arrays = dict(_arrays(memoryview(content)[HEADER:], order))
    except (ValueError, zlib.error) as error:
        raise UserError(f"{file}: not a readable MATLAB file ({error}); take it from the original archive") from error
    if variable not in arrays:
        raise UserError(f"{file}: has no variable {variable!r}; take the file from the original archive")
    values = arrays[variable]
    if values is None:
        raise UserError(f"{file}: {variable} is not an array of numbers; take the file from the original archive")
    with np.errstate(invalid="ignore"):  # as NaN has no int64
        whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise UserError(f"{file}: {variable} does not hold whole numbers; take the file from the original archive")
    return whole


def _arrays(data: memoryview, order: str) -> Iterator[tuple[str, np.ndarray | None]]:
    """Name and values of each array; None instead of values that are not real numbers.

    Raises:
        ValueError: sizes do not fit. Or zlib.error.
    """
    for kind, content in _elements(data, order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(content, LARGEST)
            if unpacker.unconsumed_tail:
                raise ValueError(f"an array of more than {LARGEST:,} bytes")
            if not unpacker.eof:  # its checksum is at the end
                raise ValueError("a compressed array is cut short")
            yield from (_array(each, order) for kind, each in _elements(memoryview(unpacked), order) if kind == MATRIX)
        elif kind == MATRIX:
            yield _array(content, order)


def _array(data: memoryview, order: str) -> tuple[str, np.ndarray | None]:
    elements = _elements(data, order)
    try:
        (_, flags), (_, sizes), (_, name) = next(elements), next(elements), next(elements)
        flag = int(np.frombuffer(flags[:4], f"{order}u4")[0])
        title = bytes(name).decode()
        if flag & 0xFF not in NUMERIC_CLASSES or flag & COMPLEX:
            return title, None
        shape = np.frombuffer(sizes, f"{order}i4").tolist()
        kind, content = next(elements)
    except (StopIteration, IndexError):
        raise ValueError("an array is cut short") from None
    if kind not in NUMBERS:
        raise ValueError(f"numbers of an unknown type, {kind}")
    values = np.frombuffer(content, order + NUMBERS[kind])
    if min(shape, default=0) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} numbers in an array of size {shape}")
    return title, values.reshape(shape, order="F")


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element, which begins with both in 8 bytes, or in 4 where its content has at most 4 bytes."""
    while data:
        if len(data) < 8:
            raise ValueError("an element is cut short")
        kind, size = np.frombuffer(data[:8], f"{order}u4").tolist()
        start = 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        if size > len(data) - start:
            raise ValueError(f"an element of {size} bytes, of which {len(data) - start} are there")
        yield kind, data[start : start + size]
        # Elements begin at multiples of 8 bytes, except after compressed ones.
        data = data[start + size if kind == COMPRESSED else -(-(start + size) // 8) * 8 :]

"""Damaged copies of a valid file: flipped bits, other bytes, cut and repeated parts, odd values in place of sound ones."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        7,
        2**63,
        10**24,
        1e308,
        -0.0,
        float("nan"),
        float("inf"),
        "",
        " ",
        "..",
        "../x",
        "/etc/passwd",
    ),
    *("=1+1", "\n", "\0", "é" * 300, [], {}, [[[]]], {"a": 1}),
)
ODD_WORDS = (
    b"",
    b"-1",
    b"1e300",
    b"nan",
    b"inf",
    b"9" * 5000,
    b"9007199254740993",
    b"0x10",
    b"1_0",
    b"\xff\xfe",
    b"'",
    b'"',
)
ODD_BYTES = bytes((0, 1, 10, 32, 44, 127, 128, 254, 255))


def mutate(content: bytes, number: int) -> bytes:
    """The damaged copy with this number: the same for the same content and number."""
    draw = random.Random(number)
    changed = content
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        changed = draw.choice(MUTATIONS)(changed, draw)
    return changed


def _flip_bits(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 8)) if changed else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _replace_byte(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[draw.randrange(len(changed))] = draw.choice(ODD_BYTES)
    return bytes(changed)


def _truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.choice((0, 1, draw.randrange(len(content) + 1), max(0, len(content) - 1)))]


def _span(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.choice((1, 4, 64, 1024)))


def _delete(content: bytes, draw: random.Random) -> bytes:
    start, stop = _span(content, draw)
    return content[:start] + content[stop:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, stop = _span(content, draw)
    return content[:stop] + content[start:]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start, _ = _span(content, draw)
    return content[:start] + draw.randbytes(draw.choice((1, 4, 64))) + content[start:]


def _replace_word(content: bytes, draw: random.Random) -> bytes:
    """A number or word of a text becomes an odd one."""
    words = list(re.finditer(rb"[\w.+-]+", content[:20_000]))
    if not words:
        return content
    word = draw.choice(words)
    return content[: word.start()] + draw.choice(ODD_WORDS) + content[word.end() :]


def _change_lines(content: bytes, draw: random.Random) -> bytes:
    """A line of a text is repeated, removed or moved."""
    lines = content.split(b"\n")
    taken = draw.randrange(len(lines))
    put = draw.randrange(len(lines))
    line = lines[taken] if draw.random() < 0.5 else lines.pop(taken)
    if draw.random() < 0.7:
        lines.insert(put, line)
    return b"\n".join(lines)


def _change_json(content: bytes, draw: random.Random) -> bytes:
    """A value of a JSON text is replaced, removed or nested; other contents get their bits flipped."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _flip_bits(content, draw)
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        places += [(here, key) for key in keys]
        waiting += [here[key] for key in keys]
    if not places:
        return json.dumps(draw.choice(ODD_VALUES)).encode()
    holder, key = draw.choice(places)
    way = draw.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.2:
        return b"[" * 20_000 + content
    else:
        holder[key] = draw.choice((*ODD_VALUES, [holder[key]], str(holder[key])))
    return json.dumps(value).encode()


Mutation = Callable[[bytes, random.Random], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bits, _flip_bits, _replace_byte, _truncate, _delete, _repeat, _insert),
    *(_replace_word, _change_lines, _change_json, _change_json),
)

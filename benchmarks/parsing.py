"""Read what a user or a stranger wrote: JSON, TOML and single lines of text. Every error is reported in one line."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baselines.interface.errors import UserError

LONGEST_TEXT = 200  # characters; the longest text that a record holds
LARGEST = 2**63 - 1  # the largest integer that a record holds
MOST_DOTS = 1000  # in a line of TOML. tomllib needs minutes for a key of 50,000 parts


def one_line(error: object) -> str:
    """The message of an error of another library, for a part of one line: at most 200 characters."""
    return " ".join(str(error).split())[:LONGEST_TEXT]


def is_text(text: str) -> bool:
    """Whether a text fits on one line and into a record: 1 to LONGEST_TEXT printable characters."""
    return 0 < len(text) <= LONGEST_TEXT and text.isprintable()


def parse_json(text: str | bytes, source: Path | str) -> Any:
    """The value of a JSON text.

    Args:
        source: where it was read, for messages.

    Raises:
        UserError: not JSON, nested too deeply, or with a number of more digits than Python reads.
    """
    return _parse(json.loads, text, "JSON", source)


def parse_toml(text: str, source: Path | str) -> dict[str, Any]:
    """The table of a TOML text.

    Args:
        source: where it was read, for messages.

    Raises:
        UserError: as `parse_json`.
    """
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise UserError(f"{source}: not TOML that can be read: a line with more than {MOST_DOTS:,} dots")
    table: dict[str, Any] = _parse(tomllib.loads, text, "TOML", source)
    return table


def _parse(parse: Callable[[Any], Any], text: str | bytes, kind: str, source: Path | str) -> Any:
    try:
        return parse(text)
    except RecursionError:
        raise UserError(f"{source}: not {kind} that can be read: nested too deeply") from None
    except ValueError as error:
        reason = str(error).partition(";")[0]  # Python's advice on long numbers follows the semicolon
        raise UserError(f"{source}: not {kind}: {reason}") from None

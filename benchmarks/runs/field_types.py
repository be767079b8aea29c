"""The types of a record's fields: what a text, a name, a digest, a number and a time in a file may be."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from benchmarks.parsing import LARGEST, LONGEST_TEXT, is_text


def check_text(text: str) -> str:
    """Text that can be printed on one line: 1 to 200 printable characters.

    Raises:
        ValueError: any other.
    """
    if not is_text(text):
        raise ValueError(f"must be 1 to {LONGEST_TEXT} printable characters, not {text[:LONGEST_TEXT]!r}")
    return text


def check_name(text: str) -> str:
    """A text that can be taken neither for a path nor for a hidden file, such as the ledger of the jobs.

    Raises:
        ValueError: any other.
    """
    if text.startswith(".") or "/" in text or "\\" in text:
        raise ValueError(
            f"must be a name without '/' and '\\' that does not begin with '.', not {text[:LONGEST_TEXT]!r}"
        )
    return check_text(text)


def check_time(text: object) -> object:
    """A text that is a date and a time, as such. A number alone would be read as seconds since 1970.

    Raises:
        ValueError: any other text.
    """
    if not isinstance(text, str):
        return text
    with suppress(ValueError):
        if re.match(r"\d{4}-\d\d-\d\dT", text):
            return datetime.fromisoformat(text)
    raise ValueError(f"must be a date and a time, such as 2026-01-31T12:00:00+00:00, not {text[:LONGEST_TEXT]!r}")


def check_digest(text: str) -> str:
    """A digest in hexadecimal digits, or "none" where there was nothing to read.

    Raises:
        ValueError: any other.
    """
    if not re.fullmatch(r"[0-9a-f]{1,128}|none", text):
        raise ValueError(f"must be a digest in hexadecimal digits or 'none', not {text[:LONGEST_TEXT]!r}")
    return text


def check_count(number: int) -> int:
    """A whole number from 0 on that 64 bits can hold: a longer one could not even be printed.

    Raises:
        ValueError: any other.
    """
    if not 0 <= number <= LARGEST:
        raise ValueError("must be a whole number of at most 64 bits, 0 or more")
    return number


Text = Annotated[str, AfterValidator(check_text)]
Name = Annotated[str, AfterValidator(check_name)]
Digest = Annotated[str, AfterValidator(check_digest)]
Count = Annotated[int, AfterValidator(check_count)]
Time = Annotated[AwareDatetime, BeforeValidator(check_time)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

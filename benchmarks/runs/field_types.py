"""The types of a record's fields: which texts, names, digests, numbers and times a record may hold."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from benchmarks.parsing import LARGEST, LONGEST_TEXT, is_text


def check_text(text: str) -> str:
    """The text, which must fit on one line: 1 to LONGEST_TEXT printable characters.

    Raises:
        ValueError: it does not.
    """
    if not is_text(text):
        raise ValueError(f"must be 1 to {LONGEST_TEXT} printable characters, not {text[:LONGEST_TEXT]!r}")
    return text


def check_name(text: str) -> str:
    """The text, which must not look like a path or like a hidden file, such as the ledger of the jobs.

    Raises:
        ValueError: it does, or is not a text as in `check_text`.
    """
    if text.startswith(".") or "/" in text or "\\" in text:
        raise ValueError(
            f"must be a name without '/' and '\\' that does not begin with '.', not {text[:LONGEST_TEXT]!r}"
        )
    return check_text(text)


def check_time(text: object) -> object:
    """The date and time that a text gives. A text that is only a number is refused: it would be read as seconds since 1970.

    Raises:
        ValueError: the text is not a date and a time.
    """
    if not isinstance(text, str):
        return text
    with suppress(ValueError):
        if re.match(r"\d{4}-\d\d-\d\dT", text):
            return datetime.fromisoformat(text)
    raise ValueError(f"must be a date and a time, such as 2026-01-31T12:00:00+00:00, not {text[:LONGEST_TEXT]!r}")


def check_digest(text: str) -> str:
    """The digest, which must be in hexadecimal digits, or "none" if there was nothing to read.

    Raises:
        ValueError: it is another text.
    """
    if not re.fullmatch(r"[0-9a-f]{1,128}|none", text):
        raise ValueError(f"must be a digest in hexadecimal digits or 'none', not {text[:LONGEST_TEXT]!r}")
    return text


def check_count(number: int) -> int:
    """The number, which must be from 0 to LARGEST. Python refuses to print a much longer one.

    Raises:
        ValueError: it is not.
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

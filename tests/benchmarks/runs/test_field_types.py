"""What the fields of a record may hold, and that the message names what is wrong."""

import pytest
from pydantic import TypeAdapter, ValidationError

from benchmarks.runs.field_types import Amount, Count, Digest, Fraction, Name, Text, Time


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text, "a / b"),
        (Text, "é" * 200),
        (Name, "walkers-mean+afa-seed0"),
        (Digest, "0123456789abcdef"),
        (Digest, "none"),
        (Count, 2**63 - 1),
        (Fraction, 1.0),
        (Amount, 1e300),
    ],
)
def test_legal_values_pass_unchanged(kind, value):
    assert TypeAdapter(kind).validate_python(value) == value


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Text, "", "must be 1 to 200 printable characters"),
        (Text, "é" * 201, "must be 1 to 200 printable characters"),
        (Text, "two\nlines", "must be 1 to 200 printable characters"),
        (Name, "../record", "must be a name without '/'"),
        (Name, "a\\b", "must be a name without '/'"),
        (Name, ".ledger", "does not begin with '.'"),
        (Digest, "ABCDEF", "must be a digest in hexadecimal digits"),
        (Digest, "0" * 129, "must be a digest in hexadecimal digits"),
        (Count, -1, "must be a whole number of at most 64 bits"),
        (Count, 2**63, "must be a whole number of at most 64 bits"),
        (Time, "20", "must be a date and a time"),  # not 20 seconds after 1970
        (Time, "2026-01-31", "must be a date and a time"),
        (Time, "2026-01-31T12:00:00", "should have timezone"),
        (Fraction, 1.0000001, "less than or equal to 1"),
        (Fraction, float("nan"), "finite"),
        (Amount, -1e-9, "greater than or equal to 0"),
        (Amount, float("inf"), "finite"),
    ],
)
def test_illegal_values_are_refused(kind, value, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(kind).validate_python(value)


def test_a_time_is_read_with_its_zone():
    found = TypeAdapter(Time).validate_python("2026-01-31T12:00:00+01:00")
    assert found.isoformat() == "2026-01-31T12:00:00+01:00"

"""Evaluation protocols by name: what the gallery holds and how average precision is computed."""

from collections.abc import Iterable
from dataclasses import dataclass

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest


@dataclass(frozen=True)
class Protocol:
    """A way to score a data set that has queries, a gallery and cameras.

    Attributes:
        queries_in_gallery: whether the queries are appended to the gallery.
        average_precision, unmatched: see `evaluate`.
        note: who uses it, in one line.
    """

    name: str
    queries_in_gallery: bool
    average_precision: str
    unmatched: str
    note: str


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("official", True, "trapezoid", "skip", "MARS's own MATLAB code; GLTR"),
        Protocol("standard", False, "rectangle", "skip", "the Torchreid line of code; COSAM"),
        Protocol("full", True, "rectangle", "skip", "AP3D; probably VRSTC"),
    )
}


def check_choice(option: str, value: str, known: Iterable[str]) -> str:
    """`value`, if it is one of `known`.

    Raises:
        UserError: it is not; the message gives the nearest known value.
    """
    if value not in known:
        raise UserError(f"no {option} {value!r}; {nearest(value, list(known))}")
    return value

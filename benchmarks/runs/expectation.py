"""The result that a user expects of a run, such as `mAP=61.0+-2.0`."""

import re
from dataclasses import dataclass

from baselines.interface.errors import UserError

from .record import RANKS, Record

METRICS = ("mAP", *(f"R{rank}" for rank in RANKS))
FORM = re.compile(r"(\w+)=(\d{1,3}(?:\.\d{1,6})?)(?:\+-|±)(\d{1,3}(?:\.\d{1,6})?)")
ROUNDING = 1e-9  # of the arithmetic


@dataclass(frozen=True)
class Expectation:
    """A metric, its expected value and the largest difference from it, both in percent."""

    metric: str
    value: float
    tolerance: float

    def difference(self, record: Record) -> str | None:
        """How a record differs, under its first protocol and before batch normalisation; None if it is as expected."""
        row = record.find_metrics(record.first_protocol, "before")
        percent = None if row is None else row.percent(self.metric)
        if percent is not None and abs(percent - self.value) <= self.tolerance + ROUNDING:
            return None
        found = "unknown" if percent is None else f"{percent:.2f}"
        return f"{self.metric} is {found}, not {self.value:g}+-{self.tolerance:g}"


def parse_expectation(text: str) -> Expectation:
    """The expectation in a text METRIC=VALUE+-TOLERANCE.

    Raises:
        UserError: it has another form, or names another metric.
    """
    matched = FORM.fullmatch(text)
    if matched is None or matched[1] not in METRICS:
        raise UserError(
            f"--expect {text!r}: write METRIC=VALUE+-TOLERANCE in percent, such as mAP=61.0+-2.0; METRIC is "
            f"{', '.join(METRICS)}"
        )
    return Expectation(matched[1], float(matched[2]), float(matched[3]))

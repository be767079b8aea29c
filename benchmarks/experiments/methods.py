"""The spelling of a method, `BASELINE[+afa|+afa-motion]`, and the settings that its name decides."""

import re
from typing import Any

from baselines import BASELINES, order_readers
from baselines.interface.errors import UserError

# What a method's name says about the parts (section 3.2 and 4.3): BASELINE alone, +afa, +afa-motion.
ATTACHMENTS: dict[str, dict[str, Any]] = {
    "": {"classification": "pooled", "target": "coherence", "sigma": 0.0, "lambda": 0.0},
    "afa": {"classification": "consensus", "target": "coherence"},
    "afa-motion": {"classification": "consensus", "target": "motion"},
}
ATTACHED = tuple(ATTACHMENTS[""])
OTHER_SPELLING = re.compile(r"(.+?)[+_ -](afa(?:[_-]motion)?)", re.IGNORECASE)  # such as mean-afa or mean+AFA


def split_method(method: str) -> tuple[str, str]:
    """`qan+afa` to ("qan", "afa"); the baseline alone has the attachment "".

    Raises:
        UserError: an unknown attachment. The baseline's name is checked by its registry.
    """
    baseline, _, attachment = method.partition("+")
    if attachment not in ATTACHMENTS or method.endswith("+"):
        raise _wrong_form(method)
    return baseline, attachment


def check_method(method: str) -> None:
    """Refuse an unknown method, before anything is loaded or queued.

    Raises:
        UserError: an unknown attachment or baseline; the message suggests `mean+afa` for `mean-afa`.
    """
    name, other = split_method(method)[0], OTHER_SPELLING.fullmatch(method)
    if name not in BASELINES.entries and other and other[1] in BASELINES.entries:
        raise _wrong_form(method)
    BASELINES.entry(name)


def _wrong_form(method: str) -> UserError:
    other = OTHER_SPELLING.fullmatch(method)
    meant = f"; did you mean '{other[1]}+{other[2].lower().replace('_', '-')}'?" if other else ""
    return UserError(f"method {method!r}: a method is BASELINE, BASELINE+afa or BASELINE+afa-motion{meant}")


def baseline(method: str) -> str:
    """The baseline of a method: `qan` of `qan+afa`.

    Raises:
        UserError: as `split_method`.
    """
    return split_method(method)[0]


def reads_order(method: str) -> bool:
    """Whether a method's baseline reads the order of frames."""
    return baseline(method) in order_readers()


def needs_attributes(method: str) -> bool:
    """Whether a method learns attributes of the training people. Imports no model; of an unknown baseline nothing is known.

    Raises:
        UserError: as `split_method`.
    """
    entry = BASELINES.entries.get(baseline(method))
    return entry is not None and entry.uses_attributes

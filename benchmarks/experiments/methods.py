"""The spelling of a method, `BASELINE[+afa|+afa-motion]`, and the settings that its name decides."""

from typing import Any

from baselines.interface.errors import UserError

# What a method's name says about the parts (section 3.2 and 4.3): BASELINE alone, +afa, +afa-motion.
ATTACHMENTS: dict[str, dict[str, Any]] = {
    "": {"classification": "pooled", "target": "coherence", "sigma": 0.0, "lambda": 0.0},
    "afa": {"classification": "consensus", "target": "coherence"},
    "afa-motion": {"classification": "consensus", "target": "motion"},
}
ATTACHED = tuple(ATTACHMENTS[""])


def split_method(method: str) -> tuple[str, str]:
    """`qan+afa` to ("qan", "afa"); the baseline alone has the attachment "".

    Raises:
        UserError: an unknown attachment. The baseline's name is checked by its registry.
    """
    baseline, _, attachment = method.partition("+")
    if attachment not in ATTACHMENTS or method.endswith("+"):
        lower = attachment.lower().replace("_", "-")
        meant = f"; did you mean '{baseline}+{lower}'?" if lower in ATTACHMENTS and lower else ""
        raise UserError(f"method {method!r}: a method is BASELINE, BASELINE+afa or BASELINE+afa-motion{meant}")
    return baseline, attachment


def baseline(method: str) -> str:
    """The baseline of a method: `qan` of `qan+afa`.

    Raises:
        UserError: as `split_method`.
    """
    return split_method(method)[0]

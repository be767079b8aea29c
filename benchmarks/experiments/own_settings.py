"""The settings that a baseline declares for itself, `BASELINE.KEY`: the keyword-only parameters of its `__init__`."""

import math
from collections.abc import Mapping
from typing import Any

from baselines import BASELINES
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def split_own(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that every run has, and those that baselines declare, whose names have a dot."""
    own = {key: value for key, value in values.items() if "." in key}
    return {key: value for key, value in values.items() if key not in own}, own


def own_defaults(baseline: str) -> dict[str, Any]:
    """The defaults of a baseline's own settings by full name; none of a baseline that is not loaded.

    Raises:
        UserError: a default that is no number, text, true or false.
    """
    entry = BASELINES.entries.get(baseline)
    defaults = dict(entry.settings) if entry else {}
    for key, value in defaults.items():
        if entry and (type(value) not in WORDS or value == "" or not is_finite(value)):
            raise UserError(
                f"{entry.file}: class {entry.attribute}: the setting {key} needs a default that is a finite number, a text, "
                "True or False"
            )
    return {f"{baseline}.{key}": value for key, value in defaults.items()}


def own_setting_meant(key: str) -> str:
    """The end of an error message for an own setting without its baseline's name; empty where no baseline has such a one."""
    full = [name for baseline in BASELINES.entries for name in own_defaults(baseline) if name.endswith(f".{key}")]
    return f"did you mean {full[0]!r}?" if full else ""


def check_own(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Checked values of own settings, of whichever baselines, by full name.

    Raises:
        UserError: an unknown baseline or setting, or a wrong type; the message begins with `source`.
    """
    checked = {}
    for key, value in values.items():
        baseline = key.rpartition(".")[0]
        if baseline not in BASELINES.entries:
            known = f"{nearest(baseline, BASELINES.names())}; --plugin names the file of another"
            raise UserError(f"{source}: {key}: no baseline {baseline!r}; {known}")
        defaults = own_defaults(baseline)
        if key not in defaults:
            raise UserError(f"{source}: unknown setting {key!r}; {nearest(key, list(defaults))}")
        checked[key] = of_type(key, value, type(defaults[key]), source)
        if not is_finite(checked[key]):
            raise UserError(f"{source}: {key} takes a finite number, not {value!r}")
    return checked


def of_type(key: str, value: Any, kind: type | None, source: str) -> Any:
    """`value`, which must be of that type (None: of any); a whole number becomes a float where the setting is a float.

    Raises:
        UserError: it is of another type, no single value, or an empty text.
    """
    if not isinstance(value, bool | int | float | str):
        raise UserError(f"{source}: {key} takes one value, not a {type(value).__name__}")
    if isinstance(value, int) and abs(value) >= 2**63:  # Python cannot even print some of them
        raise UserError(f"{source}: {key} has too many digits; give a number of at most 64 bits")
    if kind is float and type(value) is int:
        value = float(value)
    if kind is not None and type(value) is not kind:
        raise UserError(f"{source}: {key} takes {WORDS[kind]}, not {value!r:.100}")
    if value == "":
        raise UserError(f"{source}: {key} is empty; give a value, or omit it")
    return value


def is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def by_parameter(own: Mapping[str, Any]) -> dict[str, Any]:
    """Own settings by the names of the parameters."""
    return {key.rpartition(".")[2]: value for key, value in own.items()}

"""The settings of a run and the recipes that give them values.

A recipe is a TOML file with every setting, or with `extends = "NAME"` and what differs. Copy one from recipes/ and name it by
`--recipe FILE`; change single settings by `--set key=value`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from baselines.errors import UserError
from baselines.registry import nearest

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's numbers beside method, data set, seed and split. No defaults: recipes give the values."""

    # model
    backbone: str
    weights: str  # none | imagenet | a file
    # input
    height: int
    width: int
    flip: float  # probability of a horizontal flip, a clip
    erase: float  # probability of erasing one region for all frames of a clip
    # clips
    clip_frames: int  # T
    sampling: Literal["restricted", "consecutive", "even"]
    spacing: int  # of consecutive frames
    shuffle: Literal["none", "train", "test", "both"]  # a control: frames in random order
    test_chunk: int  # at test all frames count, in chunks of at most so many
    # batches
    identities: int  # P
    clips: int  # K, a P x K batch
    # optimisation
    epochs: int  # an epoch takes every identity once
    lr: float
    weight_decay: float
    lr_step: int  # epochs between divisions of the learning rate
    lr_gamma: float
    precision: Literal["float32", "bf16"]
    threads: int  # of the CPU: it changes the bits of a result
    # the method's parts; a method sets the first two and may set the others to 0
    classification: Literal["pooled", "consensus", "none"]
    target: Literal["coherence", "motion"]
    sigma: float
    lambda_: float
    granularity: Literal["batch", "clip", "frame"]
    coherence_norm: Literal["l2", "mse"]
    # selection and evaluation
    holdout: float  # share of the TRAINING identities held out for validation
    metric: Literal["euclidean", "cosine"]

    def as_dict(self) -> dict[str, Any]:
        """Settings by the names that a user writes: `lambda`, not `lambda_`."""
        return {field.name.rstrip("_"): getattr(self, field.name) for field in fields(self)}


KEYS = tuple(field.name.rstrip("_") for field in fields(Settings))
TYPES = {key.rstrip("_"): hint for key, hint in get_type_hints(Settings).items()}
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("height", "width", "clip_frames", "spacing", "test_chunk", "identities", "clips"), (1, 1e6)),
    **dict.fromkeys(("threads", "lr_step"), (1, 1e6)),
    **dict.fromkeys(("epochs", "lr", "weight_decay", "lr_gamma", "sigma", "lambda"), (0, 1e9)),
    **dict.fromkeys(("flip", "erase"), (0, 1)),
    "holdout": (0, 0.9),
}

# What a method's name says about the parts (section 3.2 and 4.3): BASELINE alone, +afa, +afa-motion.
ATTACHMENTS: dict[str, dict[str, Any]] = {
    "": {"classification": "pooled", "target": "coherence", "sigma": 0.0, "lambda": 0.0},
    "afa": {"classification": "consensus", "target": "coherence"},
    "afa-motion": {"classification": "consensus", "target": "motion", "lambda": 0.0},
}


def split_method(method: str) -> tuple[str, str]:
    """`qan+afa` to ("qan", "afa"); the baseline alone has the attachment "".

    Raises:
        UserError: an unknown attachment. The baseline's name is checked by its registry.
    """
    baseline, _, attachment = method.partition("+")
    if attachment not in ATTACHMENTS or method.endswith("+"):
        raise UserError(f"method {method!r}: a method is BASELINE, BASELINE+afa or BASELINE+afa-motion")
    return baseline, attachment


def recipe_names() -> list[str]:
    """The recipes that come with the project."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def resolve(recipe: str, method: str, changes: Iterable[str] = ()) -> Settings:
    """The settings of a run: the recipe's, then what the method's name says, then `--set key=value` in their order.

    Args:
        recipe: a name from recipes/, or a TOML file.
        method: BASELINE[+afa|+afa-motion].
        changes: texts "key=value".

    Raises:
        UserError: unknown recipe, key or value; the message names it and the nearest right one.
    """
    values = _read_recipe(recipe)
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise UserError(f'recipe {recipe}: lacks {", ".join(missing)}; give values or extends = "paper"')
    settings = _settings(values, f"recipe {recipe}")
    settings = change(settings, ATTACHMENTS[split_method(method)[1]], f"method {method}")
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write key=value")
        settings = change(settings, {key.strip(): _parse(value.strip())}, f"--set {text}")
    return settings


def change(settings: Settings, values: Mapping[str, Any], source: str) -> Settings:
    """Settings with `values` put in, checked; `source` begins an error message."""
    return replace(settings, **_checked(values, source))


def from_dict(values: Mapping[str, Any]) -> Settings:
    """The inverse of `Settings.as_dict`, as a record stores it."""
    return _settings(values, "record")


def _settings(values: Mapping[str, Any], source: str) -> Settings:
    return Settings(**_checked(values, source))


def _checked(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    checked = {}
    for key, value in values.items():
        if key not in TYPES:
            raise UserError(f"{source}: unknown setting {key!r}; {nearest(key, list(KEYS))}")
        hint = TYPES[key]
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        choices = get_args(hint)
        if choices and value not in choices:
            raise UserError(f"{source}: {key} is one of {', '.join(choices)}, not {value!r}")
        if not choices and (not isinstance(value, hint) or isinstance(value, bool)):
            raise UserError(f"{source}: {key} takes {_WORDS[hint]}, not {value!r}")
        low, high = RANGES.get(key, (-float("inf"), float("inf")))
        if not choices and not isinstance(value, str) and not low <= value <= high:
            raise UserError(f"{source}: {key} must be from {low:g} to {high:g}, not {value:g}")
        checked["lambda_" if key == "lambda" else key] = value
    return checked


_WORDS = {int: "a whole number", float: "a number", str: "a text"}


def _parse(text: str) -> Any:
    """The value of `key=text`: a TOML value where it is one, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_recipe(recipe: str) -> dict[str, Any]:
    file = Path(recipe)
    if file.suffix != ".toml":
        file = RECIPES / f"{recipe}.toml"
        if not file.exists():
            raise UserError(f"no recipe {recipe!r}; {nearest(recipe, recipe_names())}, or name a .toml file")
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--recipe {file}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"recipe {file}: not TOML: {error}") from error
    base = values.pop("extends", None)
    return {**_read_recipe(base), **values} if base is not None else values

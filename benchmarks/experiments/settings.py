"""The settings of a run: their names and ranges, and how a recipe and `--set key=value` give them values."""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from baselines import BASELINES, MATCHERS
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.parsing import parse_toml

from .methods import ATTACHMENTS, baseline, reads_order, split_method
from .other_names import setting_meant
from .own_settings import check_own, of_type, own_defaults, own_setting_meant, split_own
from .recipe_files import read_recipe


@dataclass(frozen=True)
class Settings:
    """The settings that decide a run's numbers, besides method, data set, seed and split. Recipes give the values.

    `bench list` shows the comment after each setting.
    """

    # model
    backbone: str  # a name from `bench list`, such as resnet50 (the paper's), small (4 layers) or timm:NAME
    weights: str  # none, imagenet, or a safetensors or state-dict file
    last_stride: int  # stride of the last stage of a ResNet: 1, or 2 as in ImageNet networks
    dropout: float  # dropout probability, for baselines that use dropout; -1: the baseline's default
    pooling: Literal["mean", "max"]  # of the map over the image, for one embedding per frame
    neck: Literal["bn", "none"]  # batch normalisation between feature and classifier, or none
    classifier: Literal["small", "default"]  # small: no bias, weights of std 0.001; default: torch's, with bias
    # input
    height: int  # height of the frames, in pixels
    width: int  # width of the frames, in pixels
    flip: float  # probability of mirroring a clip
    erase: float  # probability of erasing one region in all frames of a clip
    crop: float  # probability of enlarging a clip by an eighth and cropping it at a random position
    crop_from: Literal["frame", "source"]  # enlarge the frame of height x width, or resize the stored image once
    augment: Literal["clip", "frame"]  # draw flip, erase and crop for each clip, or for each of its frames
    # clips
    clip_frames: int  # T, frames per clip
    sampling: Literal["restricted", "padded", "consecutive", "even"]  # the first two: a random frame of each of T parts
    spacing: int  # step between consecutive frames
    shuffle: Literal["none", "train", "test", "both"]  # a control: where the order of frames is random
    test_chunk: int  # maximum frames per chunk at test; all frames count
    test_frames: int  # frames per tracklet at test: the first of each of this many equal segments; 0: all frames
    test_clips: Literal["own", "filled"]  # own: as the baseline cuts a tracklet; filled: clips of T with equal weights
    # batches
    identities: int  # P, identities per batch of P x K clips
    clips: int  # K, clips per identity in a batch
    tracklets: Literal["distinct", "independent"]  # of K clips: all distinct if possible, or drawn independently
    micro_batch: int  # clips per forward pass, with the gradient of the whole batch; 0: the whole batch at once
    # optimisation
    epochs: int  # number of epochs; an epoch takes every identity once
    optimizer: Literal["adam", "adamw", "sgd"]  # sgd has a momentum of 0.9
    lr: float  # learning rate
    backbone_lr: float  # learning rate of the backbone, in units of lr; 0: the backbone is frozen
    weight_decay: float  # L2, on all parameters; of adamw: decoupled
    schedule: Literal["step", "milestones", "cosine"]  # of the learning rate; cosine: to 0 in the last epoch
    lr_step: int  # schedule step: epochs between steps of the learning rate
    milestones: str  # schedule milestones: epochs after which the learning rate steps, such as 30,50; none: constant
    lr_gamma: float  # factor of each step of the learning rate
    warmup_epochs: int  # epochs in which the learning rate rises linearly to its schedule; 0: no warm-up
    warmup_start: float  # where the warm-up begins, in units of the scheduled learning rate
    gradient_limit: float  # largest norm or value of the gradient, which is clipped to it; 0: no clipping
    gradient_limit_by: Literal["norm", "value"]  # clip the norm over all parameters, or each value
    precision: Literal["float32", "bf16"]  # precision of the forward pass; losses and distances are float32
    flow: Literal["dis", "raft"]  # optical flow: OpenCV's dense inverse search, or torchvision's RAFT
    flow_weights: str  # none, or a file with RAFT's weights: safetensors or a state dict
    threads: int  # CPU threads; their number changes the last bits of a result
    statistics_shares: int  # batch statistics over 1: the whole batch; N: each of the shares of N processes
    # parts of the method; its name sets the first two and may set the others to 0
    classification: Literal["pooled", "consensus", "frames", "none"]  # cross-entropy: on coherence, Eq. 7-9, per frame
    target: Literal["coherence", "motion"]  # the part to distil; noise scales the other part
    sigma: float  # standard deviation of the noise, Eq. 4; 0: no augmentation
    lambda_: float  # weight of the coherence constraint, Eq. 11
    granularity: Literal["batch", "clip", "frame"]  # draw one noise factor for each of these
    coherence_norm: Literal["l2", "mse"]  # norm in Eq. 11; mse is about 1,200 times smaller
    triplet_weight: float  # weight of the triplet loss; 0: no triplet loss
    triplet_feature: Literal["before", "after"]  # coherence before or after the neck
    triplet_distance: Literal["euclidean", "cosine"]  # cosine: 1 minus the cosine
    margin: float  # margin of the triplet hinge loss; 0: the paper's soft margin
    label_smoothing: float  # share of the cross-entropy target that is spread over all identities
    # validation and evaluation
    holdout: float  # share of the TRAINING identities held out for validation
    validate_every: int  # epochs between validations during the training; 0: only after it
    tuning_trials: int  # trials of `bench tune` that chose some of these settings; 0: not tuned
    metric: Literal["euclidean", "cosine", "xqda"]  # distance at test; xqda is fitted on the training tracklets
    matcher: str  # own: the baseline's, or else feature distances; none: feature distances; or a matcher's name

    own: Mapping[str, Any] = field(
        default_factory=dict, hash=False
    )  # those that the baseline declares, as BASELINE.KEY

    def as_dict(self) -> dict[str, Any]:
        """Settings by the names that a user writes: `lambda`, not `lambda_`."""
        return {**{name.rstrip("_"): getattr(self, name) for name in NAMES}, **self.own}

    def recorded(self) -> dict[str, Any]:
        """The settings as a record stores them: files by name only, because the record has their digests."""
        values = {**self.as_dict(), **{key: Path(getattr(self, key)).name for key in FILES}}
        return {key: value for key, value in values.items() if DEFAULTS_OF_NEW_SETTINGS.get(key) != value}


FILES = ("weights", "flow_weights")
# Settings that are newer than some records. Records leave them out at these values, so that names and hashes stay as they were.
DEFAULTS_OF_NEW_SETTINGS: dict[str, Any] = {
    "validate_every": 0,
    "classifier": "small",
    "crop_from": "frame",
    "augment": "clip",
    "test_clips": "own",
    "tracklets": "distinct",
    "micro_batch": 0,
}
MILESTONES = re.compile(r"none|[0-9]{1,9}(,[0-9]{1,9})*")
NO_MATCHER = ("own", "none")  # values of `matcher` that are not registered names

NAMES = tuple(each.name for each in fields(Settings) if each.name != "own")
KEYS = tuple(name.rstrip("_") for name in NAMES)
TYPES = {name.rstrip("_"): get_type_hints(Settings)[name] for name in NAMES}
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("height", "width"), (1, 4096)),
    **dict.fromkeys(("clip_frames", "spacing", "test_chunk"), (1, 1e6)),
    **dict.fromkeys(("identities", "clips"), (2, 1e6)),  # a triplet needs two identities, and two clips of one
    **dict.fromkeys(("lr_step", "statistics_shares"), (1, 1e6)),
    "threads": (1, 1024),
    **dict.fromkeys(
        ("tuning_trials", "validate_every", "micro_batch", "test_frames", "epochs", "lr", "weight_decay", "lr_gamma"),
        (0, 1e9),
    ),
    **dict.fromkeys(("backbone_lr", "warmup_epochs", "gradient_limit"), (0, 1e9)),
    "warmup_start": (1e-6, 1),  # not from 0: a schedule multiplies the rate that is there
    **dict.fromkeys(("sigma", "lambda", "margin", "triplet_weight"), (0, 1e9)),
    **dict.fromkeys(("flip", "erase", "crop", "label_smoothing"), (0, 1)),
    "dropout": (-1, 1),
    "last_stride": (1, 2),
    "holdout": (0, 0.9),
}

# What `bench tune` searches. lr, clip_frames: factors of the recipe's value (for lr, any factor between the two); the others:
# values tried in addition to the recipe's. spacing is searched where frames are consecutive. Baselines that read order keep
# the recipe's sampling and spacing and get no shorter clips.
SEARCHED: dict[str, tuple[Any, ...]] = {
    "lr": (0.1, 10.0),
    "clip_frames": (0.5, 2.0),
    "sampling": ("restricted", "consecutive"),
    "spacing": (1, 2, 4),
}


def meanings() -> dict[str, str]:
    """The description of each setting for `bench list`: its possible values and its comment."""
    comments = dict(re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(Settings), re.MULTILINE))
    choices = {key: " | ".join(get_args(hint)) for key, hint in TYPES.items()}
    return {
        key: "; ".join(filter(None, (choices[key], comments.get(name)))) for key, name in zip(KEYS, NAMES, strict=True)
    }


def resolve(recipe: str, method: str, changes: Iterable[str] = ()) -> Settings:
    """The settings of a run: those of its recipe and method, then each `--set key=value` in order.

    Args:
        recipe: a name from recipes/, or a TOML file.
        method: BASELINE[+afa|+afa-motion].
        changes: texts "key=value".

    Raises:
        UserError: unknown recipe, key or value; the message suggests the nearest valid one.
    """
    return with_changes(from_recipe(recipe, method), changes)


def from_recipe(recipe: str, method: str) -> Settings:
    """The settings of a recipe, those of its table [ordered] if the baseline reads order, those that the method's name implies,
    and the baseline's own backbone.

    Raises:
        UserError: unknown recipe, key or value; the message suggests the nearest valid one.
    """
    read = read_recipe(recipe)
    values = DEFAULTS_OF_NEW_SETTINGS | read.settings
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise UserError(f'recipe {recipe}: lacks {", ".join(missing)}; give values or extends = "paper"')
    plain, own = _checked(values, f"recipe {recipe}")
    ordered, own_ordered = _checked(read.ordered, f"recipe {recipe}, [ordered]")  # always: no mistake stays unseen
    if reads_order(method):
        plain, own = plain | ordered, own | own_ordered
    own = {key: own.get(key, default) for key, default in own_defaults(baseline(method)).items()}
    settings = change(Settings(**plain, own=own), ATTACHMENTS[split_method(method)[1]], f"method {method}")
    if backbone := getattr(BASELINES.entries.get(baseline(method)), "trunk", ""):
        settings = change(settings, {"backbone": backbone}, f"method {method}")
    return settings


def with_changes(settings: Settings, changes: Iterable[str]) -> Settings:
    """Settings after each text "key=value" in order.

    Raises:
        UserError: unknown key or value; the message suggests the nearest valid one.
    """
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals or not text.isprintable():  # a second line would be TOML of its own
            raise UserError(f"setting {text[:100]!r}: write key=value on one line")
        key = key.strip()
        kind = type(settings.own[key]) if key in settings.own else TYPES.get(key)
        settings = change(settings, {key: _parse(value.strip(), kind)}, f"setting {text[:100]}")
    if settings.validate_every and not settings.holdout:
        raise UserError(
            "validate_every needs identities that the training leaves out: set holdout, such as holdout=0.2"
        )
    return settings


def changed_from_recipe(recipe: str, method: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a run that differ from its recipe and its method's name; None if the project has no such recipe."""
    try:
        defaults = _defaults(recipe, method)
    except UserError:
        return None
    return {key: value for key, value in values.items() if key in defaults and defaults[key] != value}


@cache
def _defaults(recipe: str, method: str) -> dict[str, Any]:
    return resolve(recipe, method).as_dict()


def change(settings: Settings, values: Mapping[str, Any], source: str) -> Settings:
    """The settings with `values` changed and checked; error messages begin with `source`."""
    plain, own = _checked(values, source)
    if foreign := [key for key in own if key not in settings.own]:
        raise UserError(f"{source}: {foreign[0]} is a setting of another baseline; omit it")
    return replace(settings, **plain, own={**settings.own, **own})


def _checked(values: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Checked values by field name of `Settings`, and of the settings that baselines declare."""
    plain, own = split_own(values)
    return check_values(plain, source), check_own(own, source)


def from_dict(values: Mapping[str, Any]) -> Settings:
    """The inverse of `Settings.as_dict`, as a record stores it.

    Raises:
        UserError: an earlier version, without some of the settings, wrote the record.
    """
    values = DEFAULTS_OF_NEW_SETTINGS | dict(values)
    if lacking := [key for key in KEYS if key not in values]:
        raise UserError(
            f"the run was made by an earlier version without the settings {', '.join(lacking)}; run it again with --fresh"
        )
    plain, own = split_own(values)  # own settings as they were: what the baseline declares today is no question here
    return Settings(**check_values(plain, "record"), own=own)


def check_values(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Checked values by field name of `Settings`; whole numbers become floats where the setting is a float.

    Raises:
        UserError: an unknown setting, or a wrong type or value; the message begins with `source`.
    """
    checked = {}
    for key, value in values.items():
        if key not in TYPES:
            raise UserError(f"{source}: unknown setting {key!r}; {own_setting_meant(key) or setting_meant(key, KEYS)}")
        hint = TYPES[key]
        choices = get_args(hint)
        value = of_type(key, value, None if choices else hint, source)
        if choices and value not in choices:
            raise UserError(f"{source}: {key} must be one of {', '.join(choices)}, not {value!r:.100}")
        if key == "matcher" and value not in (matchers := [*NO_MATCHER, *MATCHERS.names()]):
            raise UserError(
                f"{source}: no matcher {value!r}; {nearest(value, matchers)} (add one with --plugin FILE.py)"
            )
        if key == "milestones" and not MILESTONES.fullmatch(value):
            raise UserError(f"{source}: milestones are epochs, such as 30,50, or none, not {value!r}")
        low, high = RANGES.get(key, (-float("inf"), float("inf")))
        if not choices and not isinstance(value, str) and not low <= value <= high:
            raise UserError(f"{source}: {key} must be from {low:g} to {high:g}, not {value:g}")
        checked["lambda_" if key == "lambda" else key] = value
    return checked


def _parse(text: str, kind: Any) -> Any:
    """The value of `key=text`: parsed as TOML if possible, else the text itself, as where a setting takes a text."""
    try:  # within braces, where neither a comment nor a second value can follow
        values = parse_toml(f"braces = {{ value = {text} }}", text)["braces"]
    except UserError:
        return text
    value = values["value"] if len(values) == 1 else text
    return text if kind is str and not isinstance(value, str) else value


def recipe_label(recipe: str, settings: Settings) -> str:
    """The name of a recipe in tables: its own or its file's. Tuned recipes, which differ by method, share one label."""
    if settings.tuning_trials:
        return f"tuned by {settings.tuning_trials} trials"
    return Path(recipe).stem if recipe.endswith(".toml") else recipe

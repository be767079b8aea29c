"""Build a backbone from the settings of a recipe: its name, its weights, its last stride."""

import sys
from pathlib import Path
from typing import Any

from torch import distributed

from baselines.interface.backbone import Backbone
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest

from . import BACKBONES
from .weights import IMAGENET, NONE, file_digest, fill, load_state


def build_backbone(name: str, weights: str, last_stride: int = 1) -> tuple[Backbone, str]:
    """A backbone and the digest of its weights.

    Args:
        name: a name of `BACKBONES`, or a longer one, such as `timm:NAME`.
        weights: "none" (random, from torch's generator), "imagenet" (the pretrained weights of the backbone, from their cache or
            downloaded into it), or a file: safetensors or a state dict, with the keys of the backbone's own library or those
            that its `adapt` knows; the classifier's may be missing. What was loaded is printed to stderr.
        last_stride: of the last stage; 2, as ImageNet networks have it, is refused by backbones that have no choice.

    Returns:
        The backbone, and the sha256 of the weights' file, or "none".

    Raises:
        UserError: an unknown name, weights that cannot be reached, or a file that does not fit.
    """
    family: Any = _family(name)
    if last_stride != 1 and not family.has_last_stride:
        raise UserError(f"last_stride: {last_stride} is for {', '.join(strided())}, not for {name}; use 1")
    network = family.network(name)
    digest = NONE
    if weights != NONE:
        file = _file(name, weights)
        state, digest = load_state(file)
        if hasattr(family, "adapt"):  # a backbone that takes files by the names of another library too
            state = family.adapt(network, state)
        loaded = fill(network, state, str(file))
        if weights != IMAGENET and not (distributed.is_initialized() and distributed.get_rank()):
            print(f"weights: {file}: {loaded}", file=sys.stderr)
    options = {"last_stride": last_stride} if family.has_last_stride else {}
    return family(network, **options), digest


def weights_digest(name: str, weights: str) -> str:
    """The digest that `build_backbone` would return, without building anything; raises what it would raise."""
    _family(name)
    if weights == NONE:
        return NONE
    file = _file(name, weights)
    if not file.is_file():
        raise UserError(f"weights: {file}: no such file; name a safetensors or state-dict file, 'imagenet' or 'none'")
    return file_digest(file)


def strided() -> list[str]:
    """The backbones that have the setting `last_stride`."""
    return [name for name in BACKBONES.names() if BACKBONES.get(name).has_last_stride]


def _family(name: str) -> type[Backbone]:
    kind, _, rest = name.partition(":")
    if kind not in BACKBONES.entries:
        raise UserError(f"backbone: no {name!r}; {nearest(name, BACKBONES.names())} (add one with --plugin FILE.py)")
    longer = BACKBONES.entry(kind).longer_names
    if bool(rest) != bool(longer):
        raise UserError(f"backbone: no {name!r}; write {' or '.join(longer) or kind}")
    family: type[Backbone] = BACKBONES.get(kind)
    return family


def _file(name: str, weights: str) -> Path:
    if weights != IMAGENET:
        return Path(weights)
    file = _family(name).pretrained_file(name)
    if file is None:
        raise UserError(
            f"weights: there are no ImageNet weights for the backbone {name!r}; use --weights none or a file"
        )
    return file

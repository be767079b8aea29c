"""What a machine has of what the harness needs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import records
from .data import DATASETS, cache, imported


class Finding(NamedTuple):
    """One thing looked at; `remedy` says what to do where it is not good."""

    good: bool
    subject: str
    state: str
    remedy: str = ""


def look() -> Iterator[Finding]:
    """Every finding, quick ones first."""
    for name, place in (("BENCH_CACHE", cache()), ("BENCH_RESULTS", records.results())):
        yield _writable(name, place)
    yield from _data_sets()
    yield from _torch()


def _writable(name: str, place: Path) -> Finding:
    existing = next(parent for parent in (place, *place.absolute().parents) if parent.exists())
    good = os.access(existing, os.W_OK)
    return Finding(good, name, str(place), f"{existing} cannot be written to; set {name} to a folder of yours")


def _data_sets() -> Iterator[Finding]:
    base = os.environ.get("BENCH_DATA")
    for name in DATASETS.names():
        definition = DATASETS.get(name)
        if name.startswith("walkers"):
            yield Finding(True, name, "drawn when first used")
            continue
        root = Path(base) / definition.folder if base else None
        found = root is not None and root.is_dir()
        place = root or f"BENCH_DATA/{definition.folder}, with BENCH_DATA set"
        remedy = f"it is optional; {place} must hold {definition.layout} ({definition.source})"
        yield Finding(found, name, str(root) if found else "not here", remedy)
    for name in imported():
        yield Finding(True, name, "imported")


def _torch() -> Iterator[Finding]:
    import torch

    from baselines.backbones import TORCHVISION, imagenet_cache_file

    yield Finding(True, "torch", torch.__version__)
    yield Finding(True, "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores; a recipe sets its own")
    if torch.cuda.is_available():
        yield Finding(True, "GPU", torch.cuda.get_device_name())
    else:
        yield Finding(
            False, "GPU", "none", "small backbones train on a CPU in minutes; ResNet-50 at 256x128 wants a GPU"
        )
    for name in TORCHVISION:
        file = imagenet_cache_file(name)
        remedy = f"it is downloaded on first use; without a network put {file.name} into {file.parent}, or use --weights FILE"
        yield Finding(file.exists(), f"ImageNet weights, {name}", str(file) if file.exists() else "not here", remedy)

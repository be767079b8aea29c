"""What a machine has of what the harness needs."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .data import DATASETS, imported
from .paths import cache_dir, data_dir, results_dir

FAIL = "FAIL"


class Finding(NamedTuple):
    """One thing looked at; `remedy` says what to do where it is not good. What is not needed may well lack."""

    good: bool
    subject: str
    state: str
    remedy: str = ""
    needed: bool = False

    @property
    def mark(self) -> str:
        """Before the line: "ok", FAIL for what is needed, "-" for what is not."""
        return "ok" if self.good else FAIL if self.needed else "-"


def look() -> Iterator[Finding]:
    """Every finding, quick ones first."""
    for name, place in (("BENCH_CACHE", cache_dir()), ("BENCH_RESULTS", results_dir())):
        yield _writable(name, place)
    yield from _data_sets()
    yield from _torch()


def _writable(name: str, place: Path) -> Finding:
    """A file is really made, in the folder or where the folder would be made: what permissions say is not all."""
    existing = next(parent for parent in (place.absolute(), *place.absolute().parents) if os.path.lexists(parent))
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding(True, name, str(place))
    except OSError as error:
        remedy = f"{existing} cannot be written to ({error.strerror}); set {name} to a folder of yours"
        return Finding(False, name, str(place), remedy, needed=True)


def _data_sets() -> Iterator[Finding]:
    base = data_dir()
    if base is not None and not base.is_dir():
        yield Finding(
            False, "BENCH_DATA", str(base), "not a folder; set it to the folder that holds data sets", needed=True
        )
    for name in DATASETS.names():
        definition = DATASETS.get(name)
        if name.startswith("walkers"):
            yield Finding(True, name, "drawn when first used")
            continue
        root = base / definition.folder if base is not None else None
        if root is not None and root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
            yield Finding(False, name, str(root), f"{root} cannot be read; give yourself the permission", needed=True)
        elif root is not None and root.is_dir() and any(root.iterdir()):
            yield Finding(True, name, f"{root}; `bench data verify {name}` looks into it")
        else:
            place = root or f"{definition.folder}/ in the folder that BENCH_DATA names"
            remedy = f"optional: {place} must hold {definition.layout} ({definition.source})"
            yield Finding(False, name, "not here", remedy)
    for name in imported():
        yield Finding(True, name, "imported")


def _torch() -> Iterator[Finding]:
    import torch

    from baselines.backbones import BACKBONES

    yield Finding(True, "torch", torch.__version__)
    yield Finding(True, "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores; a recipe sets its own")
    if torch.cuda.is_available():
        yield Finding(True, "GPU", torch.cuda.get_device_name())
    else:
        yield Finding(
            False,
            "GPU",
            "none",
            "optional: small backbones train on a CPU in minutes; ResNet-50 at 256x128 wants a GPU",
        )
    for name in BACKBONES.names():
        file = BACKBONES.get(name).pretrained_file(name, download=False)
        if file is None:
            continue
        remedy = f"optional: downloaded on first use; without a network put {file.name} into {file.parent}, or use --weights FILE"
        yield Finding(file.exists(), f"ImageNet weights, {name}", str(file) if file.exists() else "not here", remedy)

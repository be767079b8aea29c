"""Data sets: one table of tracklets that every data set fills, a file a data set.

This file knows names and places and imports nothing heavy: `bench list` needs no more.
"""

import os
from pathlib import Path

from baselines.interface.registry import Registry

DATASETS = Registry(
    "data set", Path(__file__).parent / "datasets", f"{__name__}.datasets", base="benchmarks.data.dataset:Dataset"
)
IMPORT = "import.json"
JUNK = -1  # the pid of tracklets that no protocol scores


def cache() -> Path:
    """Where derived data goes."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "afa-bench")


def imported_folder(name: str) -> Path:
    """Where the imported data set `name` lies."""
    return cache() / "imported" / name


def imported() -> list[str]:
    """Names of the imported data sets."""
    return sorted(file.parent.name for file in (cache() / "imported").glob(f"*/{IMPORT}"))


def family(name: str) -> str:
    """The registered name that a data set's full name begins with: `walkers@2:tiny` is of `walkers`."""
    return name.partition("@")[0].partition(":")[0]

"""Data sets: one table of tracklets that every data set fills, a file a data set.

This file knows names and places and imports nothing heavy: `bench list` needs no more.
"""

from pathlib import Path

from baselines.interface.registry import Registry
from benchmarks.paths import cache_dir

DATASETS = Registry("data set", Path(__file__).parent / "datasets", f"{__name__}.datasets", base="Dataset")
IMPORT = "import.json"
JUNK = -1  # the pid of tracklets that no protocol scores


def imported_folder(name: str) -> Path:
    """Where the imported data set `name` lies."""
    return cache_dir() / "imported" / name


def imported() -> list[str]:
    """Names of the imported data sets."""
    return sorted(file.parent.name for file in (cache_dir() / "imported").glob(f"*/{IMPORT}"))


def family(name: str) -> str:
    """The registered name that a data set's full name begins with: `walkers@2:tiny` is of `walkers`."""
    return name.partition("@")[0].partition(":")[0]

"""Data sets: one file per data set, and one table of tracklets that every data set fills.

This file knows names and folders. It imports neither torch nor pandas, so that `bench list` is fast.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baselines.interface.errors import UserError
from baselines.interface.registry import Registry
from benchmarks.paths import cache_dir

DATASETS = Registry(
    "data set", Path(__file__).parent / "datasets", f"{__name__}.datasets", base="benchmarks.data.dataset:Dataset"
)
IMPORT_NOTE = "import.json"  # in the folder of an imported data set: what it was made from
JUNK = -1  # the pid of tracklets that no protocol scores

Progress = Callable[[int, int], None]  # called with (frames done, frames in all)


def no_progress(done: int, total: int) -> None:
    """The default where nobody wants to see progress."""


def read_json(file: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: not JSON, or nested too deeply.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def imported_folder(name: str) -> Path:
    """The folder of the imported data set `name`."""
    return cache_dir() / "imported" / name


def imported_datasets() -> list[str]:
    """The names of the imported data sets."""
    return sorted(file.parent.name for file in (cache_dir() / "imported").glob(f"*/{IMPORT_NOTE}"))


def is_imported(name: str) -> bool:
    """Whether `name` is an imported data set; cheaper than listing all of them."""
    try:
        return name == Path(name).name and (imported_folder(name) / IMPORT_NOTE).is_file()
    except OSError:  # a name too long for the file system
        return False


def import_note(name: str) -> dict[str, Any]:
    """What an imported data set says about itself (see `imported`).

    Raises:
        UserError: its note is damaged.
    """
    file = imported_folder(name) / IMPORT_NOTE
    try:
        note = dict(read_json(file))
        for key, kind in {"splits": int, "note": str, "summary": str, "remarks": list}.items():
            if not isinstance(note.get(key, kind()), kind):
                raise TypeError(f"{key} is not of type {kind.__name__}")
        return note
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file}: damaged ({error}); delete {file.parent} and import it again") from error


def import_summary(name: str) -> str:
    """An imported data set in one line."""
    about = import_note(name)
    features = "for feature extraction only" if about.get("features_only") else ""
    return "; ".join(filter(None, (about.get("summary", "your own video"), features, about.get("note"))))


def registered_name(full_name: str) -> str:
    """The registered name at the beginning of a data set's full name: `walkers` of `walkers@2:tiny`."""
    return full_name.partition("@")[0].partition(":")[0]


def is_known(full_name: str) -> bool:
    """Whether a data set of that registered name is installed, plugged in or imported."""
    return registered_name(full_name) in DATASETS.entries or is_imported(full_name)

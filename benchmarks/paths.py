"""The folders that the BENCH_ environment variables name, and BENCH_TRACKERS. No other module reads these variables.

- BENCH_DATA: the real data sets, one folder for each; may be read-only
- BENCH_CACHE: derived data: indexes, packed frames, optical flow, drawn and imported data sets
- BENCH_RESULTS: one folder for each run
- BENCH_SCRATCH: a folder on this machine's own disk, to which packed frames are copied before they are read
- BENCH_EXCLUDE: a file that lists people who must not be used; the default is excluded.txt in BENCH_DATA, if it exists
- BENCH_TRACKERS: programs in which trainings can be watched: tensorboard, wandb, or both, separated by a comma
"""

import os
from pathlib import Path

VARIABLES = ("BENCH_DATA", "BENCH_CACHE", "BENCH_RESULTS", "BENCH_SCRATCH")


def data_dir() -> Path | None:
    """The folder of the real data sets, BENCH_DATA. None if it is not set."""
    return _read("BENCH_DATA")


def cache_dir() -> Path:
    """The folder of derived data: BENCH_CACHE, or ~/.cache/afa-bench."""
    return _read("BENCH_CACHE") or Path.home() / ".cache" / "afa-bench"


def results_dir() -> Path:
    """The folder of the runs: BENCH_RESULTS, or results/runs in the current folder."""
    return _read("BENCH_RESULTS") or Path("results/runs")


def scratch_dir() -> Path | None:
    """The folder on this machine's own disk, BENCH_SCRATCH, with `$VARIABLES` in it replaced. None if it is not set."""
    folder = _read("BENCH_SCRATCH")
    return folder and Path(os.path.expandvars(folder))


def exclusion_file() -> Path | None:
    """The file that lists people who must not be used: BENCH_EXCLUDE, or excluded.txt in BENCH_DATA. None if there is none."""
    data = data_dir()
    default = data / "excluded.txt" if data else None
    return _read("BENCH_EXCLUDE") or (default if default and default.exists() else None)


def as_environment() -> dict[str, str]:
    """The variables, as absolute paths, for a process that starts in another folder or on another machine.

    BENCH_SCRATCH is left out: it belongs to one machine.
    """
    folders = {"BENCH_DATA": data_dir(), "BENCH_CACHE": _read("BENCH_CACHE"), "BENCH_RESULTS": results_dir()}
    folders["BENCH_EXCLUDE"] = _read("BENCH_EXCLUDE")
    chosen = {"BENCH_TRACKERS": ",".join(trackers())} if trackers() else {}
    return {name: str(folder.absolute()) for name, folder in folders.items() if folder is not None} | chosen


def trackers() -> list[str]:
    """The names in BENCH_TRACKERS."""
    return [name.strip() for name in str(_read("BENCH_TRACKERS") or "").split(",") if name.strip()]


def variables_above(path: Path) -> list[str]:
    """The variables that name `path` or a folder above it."""
    folders = ((name, _read(name)) for name in VARIABLES)
    return [name for name, folder in folders if folder and path.absolute().is_relative_to(folder.absolute())]


def _read(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None

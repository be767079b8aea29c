"""The old names, until the command line and the scheduling use the new ones."""

import os
from pathlib import Path

from .folder import RunFolder as RunFolder
from .folder import temporarily_removed as forgotten  # noqa: F401
from .record import Record as Record
from .staleness import stale_reasons as stale  # noqa: F401
from .store import find_run as find  # noqa: F401
from .store import load_records as finished  # noqa: F401
from .store import read_record as read  # noqa: F401
from .store import write_record as write  # noqa: F401
from .unfinished import note_early_failure as fail  # noqa: F401


def results() -> Path:
    """The results directory: BENCH_RESULTS, or results/runs below the current folder."""
    return Path(os.environ.get("BENCH_RESULTS") or "results/runs")

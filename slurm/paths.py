"""The files that the BENCH_ environment variables of jobs name. No other module of this package reads these variables.

BENCH_SITE    the site's defaults for jobs; set by the user
BENCH_KILLED  a file that one of several processes creates when its command was killed; set by the batch script
"""

import os
from pathlib import Path

DEFAULT_SITE_FILE = Path(__file__).parent / "site.toml"  # the user's own, beside site.example.toml


def site_file() -> Path | None:
    """The file that BENCH_SITE names. None if it is not set."""
    name = os.environ.get("BENCH_SITE")
    return Path(name) if name else None


def killed_marker() -> Path:
    """The file that BENCH_KILLED names, in a job of several processes."""
    return Path(os.environ["BENCH_KILLED"])

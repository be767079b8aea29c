import os
from pathlib import Path

import pytest


@pytest.fixture
def shared():
    """`shared("mars-info")`: that folder of the data beside the repository; where absent, the test is skipped."""
    root = Path(os.environ.get("BENCH_SHARED") or Path(__file__).parents[4] / "shared")

    def folder(name):
        if not (root / "data" / name).is_dir():
            pytest.skip(f"{name} is not in {root / 'data'}; BENCH_SHARED names another place")
        return root / "data" / name

    return folder

"""Every test has a cache and a results folder of its own; no test sees the user's."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("BENCH_DATA", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_process_left():
    yield
    left = multiprocessing.active_children()
    for child in left:
        child.kill()  # Python waits at its end for each
    assert left == []


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's runs lie."""
    place = tmp_path / "runs"
    monkeypatch.setenv("BENCH_RESULTS", str(place))
    return place


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """`shared("mars-info")`: that folder of the data beside the repository; where absent, the test is skipped."""
    root = Path(os.environ.get("BENCH_SHARED") or Path(__file__).parents[2] / "shared")

    def folder(name: str) -> Path:
        if not (root / "data" / name).is_dir():
            pytest.skip(f"{name} is not in {root / 'data'}; BENCH_SHARED names another place")
        return root / "data" / name

    return folder

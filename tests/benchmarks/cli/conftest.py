"""A finished run, for the verbs that need one."""

import pytest

from benchmarks.runs.folder import RunFolder
from benchmarks.runs.store import load_records


@pytest.fixture
def finished(bench, results):
    """One finished run, untrained, on walkers:tiny."""
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (record,) = load_records(results)
    return RunFolder(results / record.name), record

"""A finished run, for the verbs that need one."""

import pytest

from benchmarks.runs import records


@pytest.fixture
def finished(bench, results):
    """One finished run, untrained, on walkers:tiny."""
    assert bench("run", "--method", "mean", "--dataset", "walkers:tiny", "--epochs", "0").status == 0
    (record,) = records.finished(results)
    return records.RunFolder(results / record["name"]), record

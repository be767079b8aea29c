"""Plan, submit, list and cancel a thousand experiments, as job arrays on a Slurm of this machine."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm.local_cluster import __main__ as local

from .comparison import note_row

pytestmark = pytest.mark.skipif(bool(local.why_unavailable()), reason=f"no Slurm: {local.why_unavailable()}")

SWEEP = ("table4", "--dataset", "walkers:tiny", "--quick", "--seeds", "167")  # of six methods
VERBS = {  # in this order: the options, and a text in the output
    "plan": ((), "1,002 experiments, 0 done"),
    "submit": (("--sbatch", "hold"), "1,002 jobs submitted"),
    "status": ((), "1,002 experiments: 1002 queued"),
}


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        for name in ("SLURM_CONF", "MASTER_ADDR", "PATH"):
            patch.setenv(name, os.environ.get(name, ""))
        patch.setenv("BENCH_RESULTS", str(root / "runs"))
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        local.up(root)
        yield
        cancelled = _bench("cancel", "--all")
        local.down(root)
        assert "1,002 jobs cancelled" in cancelled


def _bench(*words: str) -> str:
    program = [sys.executable, "-m", "benchmarks.cli", *words]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_thousand_experiments(benchmark: Any, verb: str) -> None:
    options, text = VERBS[verb]
    assert text in benchmark.pedantic(_bench, args=(verb, *SWEEP, *options), rounds=1)
    what = f"`bench {verb}` of 1,002 experiments"
    note_row(benchmark, what, "", benchmark.stats.stats.max, 10.0, unit="s")

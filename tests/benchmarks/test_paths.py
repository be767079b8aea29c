"""The BENCH_ variables are read in one place, and name the folders that the documents say."""

import re
from pathlib import Path

from benchmarks import paths

BENCHMARKS = Path(paths.__file__).parent
READS_VARIABLE = re.compile(r"""(environ(\.get\(|\.pop\(|\[)|getenv\()\s*f?["']BENCH_\w+["'](?!\] =)""")


def test_variables_are_read_in_one_place():
    readers = [file for file in BENCHMARKS.rglob("*.py") if READS_VARIABLE.search(file.read_text())]
    assert readers == []  # paths.py itself reads them by a variable's name
    assert READS_VARIABLE.search('os.environ.get("BENCH_DATA")')


def test_defaults(monkeypatch):
    for name in paths.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert (paths.data_dir(), paths.scratch_dir()) == (None, None)
    assert paths.results_dir() == Path("results/runs")
    assert paths.cache_dir() == Path.home() / ".cache/afa-bench"


def test_scratch_replaces_variables(monkeypatch):
    monkeypatch.setenv("NODE_DISK", "/local/7")
    monkeypatch.setenv("BENCH_SCRATCH", "$NODE_DISK/bench")
    assert paths.scratch_dir() == Path("/local/7/bench")


def test_environment_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in zip(paths.VARIABLES, ("data", "", "runs", "scratch"), strict=True):
        monkeypatch.setenv(name, value)
    assert paths.as_environment() == {"BENCH_DATA": f"{tmp_path}/data", "BENCH_RESULTS": f"{tmp_path}/runs"}


def test_variables_above_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "other"))
    assert paths.variables_above(tmp_path / "index" / "file") == ["BENCH_CACHE"]

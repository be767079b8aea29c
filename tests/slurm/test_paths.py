"""The BENCH_ variables of jobs are read in one place, and name the site's file."""

import re
from pathlib import Path

import pytest

import slurm
from slurm import JobError, paths, resources

READS_VARIABLE = re.compile(r"""environ(\.get\(|\[)\s*["']BENCH_""")


def test_variables_are_read_in_one_place():
    files = Path(slurm.__file__).parent.rglob("*.py")
    assert [file.name for file in files if READS_VARIABLE.search(file.read_text())] == ["paths.py"]


def test_site_file_may_be_missing_unless_named(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_SITE", raising=False)
    monkeypatch.setattr(paths, "DEFAULT_SITE_FILE", tmp_path / "site.toml")
    assert resources.resolve({}) == resources.Resources()
    (tmp_path / "site.toml").write_text("cpus = 8")
    assert resources.resolve({}).cpus == 8
    monkeypatch.setenv("BENCH_SITE", str(tmp_path / "gone.toml"))
    with pytest.raises(JobError, match="no such file"):
        resources.resolve({})

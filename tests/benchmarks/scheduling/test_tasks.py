"""A job runs the code, plug-ins and recipes as they were when it was submitted."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.experiments.settings import resolve
from benchmarks.scheduling.tasks import copy_code, job_environment
from benchmarks.suites.suite import Choice, Single, experiments


@pytest.fixture
def given(tmp_path) -> dict[str, Path]:
    """A plug-in, and a recipe that extends another file's."""
    files = {name: tmp_path / name for name in ("slow.py", "mine.toml", "theirs.toml")}
    files["slow.py"].write_text("# a plug-in")
    files["theirs.toml"].write_text('extends = "small"\nepochs = 3\nlr = 1e-05\n')
    files["mine.toml"].write_text(f'extends = "{files["theirs.toml"]}"\nweights = "C:\\\\é.pth"\n')
    return files


def test_plugins_and_recipes_are_copied(given, tmp_path):
    passed = ("--plugin", str(given["slow.py"]))
    choice = Choice(("walkers:tiny",), 2, recipe=str(given["mine.toml"]), passed=passed)
    planned = list(experiments(Single("mean"), choice))
    before = resolve(str(given["mine.toml"]), "mean")
    assert (before.epochs, before.weights) == (3, "C:\\é.pth")
    frozen = copy_code(planned, tmp_path / "code")
    assert copy_code(planned, tmp_path / "code") == frozen
    for file in given.values():
        file.write_text("an edit that is half done")
    words = frozen.command(planned[0].arguments)
    asked = dict(pairwise(words))
    assert resolve(asked["--recipe"], "mean") == before
    assert Path(asked["--recipe"]).stem == planned[0].experiment.recipe == "mine"
    assert Path(asked["--plugin"]).read_text() == "# a plug-in"
    assert {"--method": "mean", "--seed": "0"}.items() <= asked.items()
    assert (frozen.folder / "benchmarks" / "engine" / "run.py").exists()


def test_job_runs_the_copied_code(tmp_path):
    for place in ("copy", "checkout"):
        (tmp_path / place / "benchmarks").mkdir(parents=True)
        (tmp_path / place / "benchmarks" / "__init__.py").write_text("")
        (tmp_path / place / "benchmarks" / "cli.py").write_text(f"print({place!r})")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli"],
        cwd=tmp_path / "checkout",
        env={**os.environ, **job_environment(tmp_path / "copy")},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "copy\n"


def test_builtin_recipe_is_not_copied(tmp_path):
    planned = list(experiments(Single("mean"), Choice(("walkers:tiny",), 1, recipe="small")))
    assert copy_code(planned, tmp_path).command(planned[0].arguments)[3:] == planned[0].arguments

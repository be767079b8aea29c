"""Planned experiments as tasks of jobs, with the copy of the code that they run and the packing of their data sets."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks import paths
from benchmarks.data.loading import is_packed
from benchmarks.experiments.recipe_files import flattened
from benchmarks.runs import environment
from benchmarks.suites.suite import Planned
from slurm.ledger import Task
from slurm.snapshot import snapshot

REPOSITORY = Path(__file__).parents[2]
BENCH = (sys.executable, "-m", "benchmarks.cli")
PACK = "pack "  # the key of a task that packs a data set starts with this; the data set's name follows


class CodeCopy(NamedTuple):
    """A copy of the code.

    Attributes:
        folder: of the copy.
        files: the copies of files that options name (plug-ins, recipes), by the names in the options.
    """

    folder: Path
    files: dict[str, str]

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """The words that run `bench` with these arguments, on the copied files."""
        return (*BENCH, *(self.files.get(word, word) for word in arguments))


def copy_code(planned: Sequence[Planned], to: Path) -> CodeCopy:
    """Copy the code, with the plug-ins and recipe files of the experiments, into a subfolder of `to` named by its contents.

    A recipe is copied together with the recipes that it extends.
    """
    options = dict.fromkeys(pair for each in planned for pair in pairwise(each.arguments))
    plugins = [file for option, file in options if option == "--plugin"]
    recipes = [file for option, file in options if option == "--recipe" and file.endswith(".toml")]
    names = {file: f"given/{number}/{Path(file).name}" for number, file in enumerate(plugins + recipes)}
    texts = {names[file]: Path(file).read_text(encoding="utf-8") for file in plugins}
    texts |= {names[file]: flattened(file) for file in recipes}
    packages = [REPOSITORY / name for name in ("afa", "baselines", "benchmarks", "slurm")]
    git = environment.git_state()
    folder = snapshot(packages, {environment.COMMIT: json.dumps(git and asdict(git)), **texts}, to.absolute())
    return CodeCopy(folder, {file: str(folder / name) for file, name in names.items()})


def job_environment(code: Path) -> dict[str, str]:
    """The variables that a job needs: the folders here, and the copy of the code, which comes before the current folder."""
    weights = os.environ.get("TORCH_HOME")
    torch_home = {"TORCH_HOME": str(Path(weights).absolute())} if weights else {}
    return {**paths.as_environment(), **torch_home, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}


def packing_tasks(planned: Sequence[Planned], code: CodeCopy, root: Path | None) -> list[Task]:
    """The tasks that pack the real data sets of the experiments that are not packed yet."""
    options = dict.fromkeys(pair for each in planned for pair in pairwise(each.arguments) if pair[0] == "--plugin")
    words = [*(("--root", str(root.absolute())) if root else ()), *(word for pair in options for word in pair)]
    return [Task(PACK + name, PACK + name, code.command(("data", "pack", name, *words))) for name in unpacked(planned)]


def unpacked(planned: Sequence[Planned]) -> list[str]:
    """The real data sets of the experiments that are not packed yet."""
    names = dict.fromkeys(name for each in planned for name in (each.experiment.dataset, each.experiment.test))
    return [name for name in names if not is_packed(name)]

"""Planned experiments as tasks for jobs: the code that they run, and what they wait for."""

import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks import paths
from benchmarks.data.loading import is_packed
from benchmarks.experiments.settings import flattened
from benchmarks.runs import environment
from benchmarks.suites.suite import Planned
from slurm.ledger import Task
from slurm.snapshot import snapshot

HOUSE = Path(__file__).parents[2]
BENCH = (sys.executable, "-m", "benchmarks.cli")
PACK = "pack "  # begins the key of a task that packs a data set; its name follows


class Frozen(NamedTuple):
    """The code as it is now. folder: the copy; copies: where in it the files lie that a user named, by what he called them."""

    folder: Path
    copies: dict[str, str]

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """What runs `bench` with these arguments, on the copies."""
        return (*BENCH, *(self.copies.get(word, word) for word in arguments))


def freeze(planned: Sequence[Planned], place: Path) -> Frozen:
    """Copy the code into a folder of `place`, and with it the plug-ins and recipes that are files of the user's.

    The name of its folder follows from the contents. A recipe is copied with what it extends.
    """
    pairs = dict.fromkeys(pair for each in planned for pair in pairwise(each.arguments))
    plugins = [file for option, file in pairs if option == "--plugin"]
    recipes = [file for option, file in pairs if option == "--recipe" and file.endswith(".toml")]
    names = {file: f"given/{number}/{Path(file).name}" for number, file in enumerate(plugins + recipes)}
    texts = {names[file]: Path(file).read_text(encoding="utf-8") for file in plugins}
    texts |= {names[file]: flattened(file) for file in recipes}
    packages = [HOUSE / name for name in ("afa", "baselines", "benchmarks", "slurm")]
    code = snapshot(packages, {environment.COMMIT: json.dumps(environment.git()), **texts}, place.absolute())
    return Frozen(code, {file: str(code / name) for file, name in names.items()})


def variables(code: Path) -> dict[str, str]:
    """What a job's command needs to know of this process; the copy of the code goes before a checkout that it is called in."""
    weights = os.environ.get("TORCH_HOME")
    kept = {"TORCH_HOME": str(Path(weights).absolute())} if weights else {}
    return {**paths.as_environment(), **kept, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}


def packing_tasks(planned: Sequence[Planned], frozen: Frozen, root: Path | None) -> list[Task]:
    """What packs the real data sets among those of the experiments, where they are not packed."""
    plugins = dict.fromkeys(pair for each in planned for pair in pairwise(each.arguments) if pair[0] == "--plugin")
    options = [*(("--root", str(root.absolute())) if root else ()), *(word for pair in plugins for word in pair)]
    return [
        Task(PACK + name, PACK + name, frozen.command(("data", "pack", name, *options))) for name in unpacked(planned)
    ]


def unpacked(planned: Sequence[Planned]) -> list[str]:
    """The real data sets of the experiments that are not packed."""
    names = dict.fromkeys(name for each in planned for name in (each.experiment.dataset, each.experiment.test))
    return [name for name in names if not is_packed(name)]

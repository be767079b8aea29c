"""The experiments that a user selects: those of a suite, or of one method."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baselines import BASELINES
from baselines.interface.errors import UserError
from benchmarks.data.find import find_dataset
from benchmarks.experiments.settings import Settings
from benchmarks.suites import SUITES
from benchmarks.suites.suite import Choice, Planned, Single, Suite, dataset_pairs, experiments, settings_for


@dataclass(frozen=True)
class Selection:
    """A suite, or one method as a suite, and the options that select its experiments.

    Attributes:
        name: of the suite or the method.
        root: the data set's folder, as `--root` names it.
    """

    name: str
    suite: Suite
    choice: Choice
    root: Path | None = None

    def experiments(self) -> list[Planned]:
        """The experiments.

        Raises:
            UserError: there are none.
        """
        planned = list(experiments(self.suite, self.choice))
        if not planned:
            raise UserError("this suite trains nothing; use `bench table`")
        return planned

    def settings_of(self, planned: Iterable[Planned]) -> Iterator[tuple[str, Settings]]:
        """The method and the settings of experiments of this selection, with the whole names of files."""
        for each in planned:
            yield each.experiment.method, settings_for(each.row, each.experiment.dataset, self.choice)[2]

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments with which a verb selects the same experiments; a single method has none."""
        return (self.name, *self.choice.options) if self.name in SUITES.entries else ()


def select(
    suite: str | None,
    *,
    method: str | None = None,
    datasets: Sequence[str] = (),
    seeds: int | None = None,
    first_seed: int = 0,
    recipe: str | None = None,
    changes: Sequence[str] = (),
    quick: bool = False,
    root: Path | None = None,
    plugins: Sequence[Path] = (),
    skip_bad: bool = False,
) -> Selection:
    """The experiments of a suite, or of one method.

    Args:
        seeds: their number. None: as many as give each row the suite's default number of runs, over all splits.
        first_seed: the smallest of them.

    Raises:
        UserError: not exactly one of suite and method; an unknown suite or data set; too few data sets; or one root for several.
    """
    if (suite is None) == (method is None):
        raise UserError("name either a SUITE (bench suite list), or --method and --dataset")
    if method is not None and not datasets:
        raise UserError("--method: add --dataset, a name from `bench list`")
    if suite is not None and suite not in SUITES.entries and suite.partition("+")[0] in BASELINES.entries:
        raise UserError(f"{suite} is a method, not a suite; give it as --method {suite}")
    selected = SUITES.get(suite)() if suite is not None else Single(method or "")
    name = suite or method or ""
    passed = [word for file in plugins for word in ("--plugin", str(file.absolute()))]
    passed += ["--skip-bad"] if skip_bad else []
    choice = Choice(tuple(datasets), seeds or 1, recipe, tuple(changes), quick, first_seed=first_seed)
    pairs = dataset_pairs(selected, choice)
    if not pairs:
        raise UserError(f"{name} trains on one data set and tests on another; name both, each with --dataset")
    if seeds is None:
        splits = min(find_dataset(pair.trained_on).splits for pair in pairs)
        choice = replace(choice, seeds=math.ceil(selected.repetitions / splits))
    if root is not None:
        names = sorted({name for pair in pairs for name in pair})
        if len(names) != 1:
            raise UserError(
                f"--root {root}: applies to one data set, not to {', '.join(names)}; name one with --dataset, or set BENCH_DATA"
            )
        passed += ["--root", str(root.absolute())]
    return Selection(name, selected, replace(choice, passed=tuple(passed)), root)


def title(planned: Planned) -> str:
    """The title of an experiment, such as `mars: AFA (mean+afa), seed 0`."""
    experiment = planned.experiment
    data = experiment.dataset if experiment.test == experiment.dataset else f"{experiment.dataset} to {experiment.test}"
    split = f", split {experiment.split}" if experiment.split else ""
    label = planned.row.label
    label = label if label == experiment.method else f"{label} ({experiment.method})"
    return f"{data}: {label}, seed {experiment.seed}{split}"

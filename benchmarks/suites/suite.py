"""The base class of suites, and how a suite becomes a list of experiments. Nothing here runs an experiment or reads data."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from baselines.interface.errors import UserError
from benchmarks.data.find import find_dataset, full_name
from benchmarks.experiments.experiment import DatasetPair, Experiment
from benchmarks.experiments.methods import check_method
from benchmarks.experiments.recipe_files import recipe_for
from benchmarks.experiments.settings import Settings, from_recipe, recipe_label, with_changes

from . import REPETITIONS

QUICK = ("epochs=12", "lr_step=9")  # less than a minute per run on two cores, with the recipe `small`


@dataclass(frozen=True)
class Row:
    """A row of a suite's table.

    Attributes:
        label: the row's name, as in the paper if the paper has the row.
        method: BASELINE[+afa|+afa-motion].
        changes: settings that differ from the recipe, as "key=value".
        recipe, protocol, feature: the row's own; by default the user's, or the data set's.
        expected: published results of the row on the suite's own data set: metric -> percent.
        not_reproducible: why no code gives the expected results, which are then shown and not judged; empty: they are judged.
        backbones: the backbones for which the row exists; empty: all.
        published_as: the label of its published results in the paper's tables; by default its own.
        reproduces: whether its trainer is that of the published results, so that a difference from them says something about this
            harness.
    """

    label: str
    method: str
    changes: tuple[str, ...] = ()
    recipe: str | None = None
    protocol: str | None = None
    feature: str | None = None
    expected: Mapping[str, float] = field(default_factory=dict)
    not_reproducible: str = ""
    backbones: tuple[str, ...] = ()
    published_as: str | None = None
    reproduces: bool = True


class Suite(ABC):
    """Rows, and the data sets on which they are measured. `bench suite list` shows the first line of a suite's docstring.

    Class attributes:
        datasets: trained and tested on, unless the user names others.
        metrics: the columns of its table.
        paper: the table of the paper that its results are compared with; "" if there is none.
        calibrates: whether its results must agree with the expected ones, as far as the spread over its seeds allows.
        not_built: rows of the paper's table that the suite does not have: label -> reason.
        groups: headings in its table: heading -> labels of the rows below it. A row with another label stays with the row
            before it. A table with headings also says by which trainer each row was trained.
        after: labels of rows whose sources are not detailed enough for the method to be the published one.
        notes: lines below its table.
        repetitions: how often each row runs by default, over all seeds and splits.
    """

    datasets: ClassVar[tuple[str, ...]] = ("mars",)
    metrics: ClassVar[tuple[str, ...]] = ("R1", "R5", "R10", "mAP")
    paper: ClassVar[str] = ""
    calibrates: ClassVar[bool] = False
    not_built: ClassVar[Mapping[str, str]] = {}
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    after: ClassVar[frozenset[str]] = frozenset()
    notes: ClassVar[tuple[str, ...]] = ()
    repetitions: ClassVar[int] = REPETITIONS

    @abstractmethod
    def rows(self, dataset: str) -> Sequence[Row]:
        """The rows that are trained on `dataset`."""

    def pairs(self, datasets: Sequence[str]) -> list[DatasetPair]:
        """The data sets that the rows are trained and tested on: by default each with itself."""
        return [DatasetPair(name, name) for name in datasets]


class Single(Suite):
    """One method, as a suite of one row."""

    def __init__(self, method: str) -> None:
        self.method = method

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002 - the same for all
        return [Row(self.method, self.method)]


@dataclass(frozen=True)
class Choice:
    """A user's options for a suite.

    Attributes:
        datasets: empty for the suite's own.
        seeds: their number; they are counted from `first_seed`.
        recipe, changes: as in `bench run`. The recipe may be a folder with one file per method. A row's changes come last.
        quick: use the recipe `small` and few epochs, for a first impression on a laptop.
        passed: options that every `bench run` gets (--root, --plugin, --skip-bad).
        first_seed: larger than 0 to leave out the seeds of a pilot.
    """

    datasets: tuple[str, ...] = ()
    seeds: int = REPETITIONS
    recipe: str | None = None
    changes: tuple[str, ...] = ()
    quick: bool = False
    passed: tuple[str, ...] = ()
    first_seed: int = 0

    @property
    def all_seeds(self) -> range:
        """The seeds of each row."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def description(self) -> str:
        """How its experiments differ from the suite's usual ones, for lists of submitted experiments."""
        recipe = () if self.recipe is None else (f"recipe {Path(self.recipe).stem}",)
        return ", ".join((*(("quick",) if self.quick else ()), *recipe, *self.changes))

    @property
    def options(self) -> tuple[str, ...]:
        """The command-line options that make this choice."""
        options = [*(("--dataset", name) for name in self.datasets), ("--seeds", str(self.seeds))]
        options += [("--first-seed", str(self.first_seed))] if self.first_seed else []
        options += [("--recipe", self.recipe)] if self.recipe else []
        options += [("--set", text) for text in self.changes]
        quick = ("--quick",) if self.quick else ()
        return (*(word for pair in options for word in pair), *quick, *self.passed)


@dataclass(frozen=True)
class Planned:
    """One experiment of a suite, still without digests of data and weights. `arguments` are those of its `bench run`."""

    row: Row
    experiment: Experiment
    arguments: tuple[str, ...]


def dataset_pairs(suite: Suite, choice: Choice) -> list[DatasetPair]:
    """The data sets on which a suite is measured, by their full names.

    Raises:
        UserError: an unknown data set.
    """
    names = list(dict.fromkeys(full_name(name) for name in choice.datasets or suite.datasets))
    return [DatasetPair(full_name(train), full_name(test)) for train, test in suite.pairs(names)]


def experiments(suite: Suite, choice: Choice) -> Iterator[Planned]:
    """All experiments of a suite, each once, ordered by seeds, then data sets, then splits, then rows.

    So an interrupted suite has complete comparisons with few seeds on every data set, rather than all seeds on the first one.

    Raises:
        UserError: an unknown data set, method, recipe or setting.
    """
    seen = set()
    pairs = dataset_pairs(suite, choice)
    for seed in choice.all_seeds:
        for pair in pairs:
            for split in range(find_dataset(pair.trained_on).splits):
                for row in rows_for(suite, pair, choice):
                    planned = _plan(row, pair, seed, split, choice)
                    if planned.experiment.request_hash not in seen:
                        seen.add(planned.experiment.request_hash)
                        yield planned


def all_rows(suite: Suite, dataset: str) -> Sequence[Row]:
    """The rows of a suite that are trained on `dataset`.

    Raises:
        UserError: the suite comes from a plug-in, and its `rows` returns something else.
    """
    rows = suite.rows(dataset)
    if not isinstance(rows, Sequence) or not all(isinstance(row, Row) for row in rows):
        file, kind = inspect.getfile(type(suite)), type(suite).__name__
        raise UserError(f"{file}, class {kind}: rows must return a list of Row, not {repr(rows)[:60]}")
    return rows


def rows_for(suite: Suite, pair: DatasetPair, choice: Choice) -> list[Row]:
    """The rows of a suite's table for a pair of data sets, without those that do not exist for the chosen backbone."""
    return [
        row
        for row in all_rows(suite, pair.trained_on)
        if not row.backbones or settings_for(row, pair.trained_on, choice)[2].backbone in row.backbones
    ]


def experiments_of_row(row: Row, pair: DatasetPair, choice: Choice) -> list[Planned]:
    """The experiments of one row: all seeds and splits."""
    splits = range(find_dataset(pair.trained_on).splits)
    return [_plan(row, pair, seed, split, choice) for seed in choice.all_seeds for split in splits]


def first_experiment(row: Row, pair: DatasetPair, choice: Choice) -> Planned:
    """The experiment of one row with the first seed, on split 0."""
    return _plan(row, pair, choice.first_seed, 0, choice)


_from_recipe = cache(from_recipe)


@cache  # once per row, and not for each of its seeds and splits
def _resolved(recipe: str, method: str, changes: tuple[str, ...]) -> Settings:
    return with_changes(_from_recipe(recipe, method), changes)


def settings_for(row: Row, dataset: str, choice: Choice) -> tuple[str, tuple[str, ...], Settings]:
    """A row's recipe, the changes to it as "key=value", and the resulting settings."""
    own = recipe_for(choice.recipe, row.method) if choice.recipe and not row.recipe else row.recipe
    recipe = own or ("small" if choice.quick else find_dataset(dataset).recipe)
    changes = (*(QUICK if choice.quick else ()), *choice.changes, *row.changes)
    return recipe, changes, _resolved(recipe, row.method, changes)


def _plan(row: Row, pair: DatasetPair, seed: int, split: int, choice: Choice) -> Planned:
    train, test = pair
    check_method(row.method)
    recipe, changes, settings = settings_for(row, train, choice)
    label = recipe_label(recipe, settings)
    test_split = split if test == train else 0
    experiment = Experiment(row.method, train, test, settings.recorded(), seed, split, "", "", "", label, test_split)
    options = {"--method": row.method, "--dataset": train, "--recipe": recipe, "--seed": seed, "--split": split}
    words = [word for option, value in options.items() for word in (option, str(value))]
    words += [word for text in changes for word in ("--set", text)]
    words += ["--test", test] if test != train else []
    return Planned(row, experiment, ("run", *words, *choice.passed))

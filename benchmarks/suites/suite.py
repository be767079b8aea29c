"""What a suite is, and the one generator of its experiments. Nothing here runs anything or reads any data."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from baselines import BASELINES
from benchmarks.data.loading import find_dataset, full_name
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import split_method
from benchmarks.experiments.settings import Settings, recipe_for, recipe_label, resolve

QUICK = ("epochs=12", "lr_step=9")  # within a minute a run on two cores, with the recipe `small`
Place = tuple[str, str]  # the data sets that are trained and tested on


@dataclass(frozen=True)
class Row:
    """A row of a suite's table.

    Attributes:
        label: as the paper spells it, where the paper has it.
        method: BASELINE[+afa|+afa-motion].
        changes: texts key=value, beside the recipe.
        recipe, protocol, feature: where the row has its own; otherwise the user's, or the data set's.
        expected: what others published of the row on the suite's own data set: metric -> percent.
        backbones: of which alone the row can be asked; empty: of any.
    """

    label: str
    method: str
    changes: tuple[str, ...] = ()
    recipe: str | None = None
    protocol: str | None = None
    feature: str | None = None
    expected: Mapping[str, float] = field(default_factory=dict)
    backbones: tuple[str, ...] = ()


class Suite(ABC):
    """Rows, and the places where they are measured. A subclass says which; its docstring's first line is what users see.

    Class attributes:
        datasets: trained and tested on, unless the user names others.
        metrics: the columns of its table.
        paper: the paper's table beside which the results stand; "" where it has none.
        tolerance: how far off what its rows expect a figure may be, in points.
    """

    datasets: ClassVar[tuple[str, ...]] = ("mars",)
    metrics: ClassVar[tuple[str, ...]] = ("R1", "R5", "R10", "mAP")
    paper: ClassVar[str] = ""
    tolerance: ClassVar[float] = math.inf

    @abstractmethod
    def rows(self, dataset: str) -> Sequence[Row]:
        """The rows that are trained on `dataset`."""

    def places(self, datasets: Sequence[str]) -> list[Place]:
        """Where the rows are measured: by default where they are trained."""
        return [(name, name) for name in datasets]


class Single(Suite):
    """One method, as a suite of one row."""

    def __init__(self, method: str) -> None:
        self.method = method

    def rows(self, dataset: str) -> Sequence[Row]:  # noqa: ARG002 - the same everywhere
        return [Row(self.method, self.method)]


@dataclass(frozen=True)
class Choice:
    """What a user asks of a suite.

    Attributes:
        datasets: empty: the suite's own.
        seeds: how many, from 0.
        recipe, changes: as of `bench run`, and the recipe may be a folder, one for each method; a row's own come after.
        quick: the recipe `small` and few epochs: for a look, on a laptop.
        passed: options that each `bench run` is given as they are (--root, --plugin).
    """

    datasets: tuple[str, ...] = ()
    seeds: int = 3
    recipe: str | None = None
    changes: tuple[str, ...] = ()
    quick: bool = False
    passed: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What makes its experiments others than the same rows' elsewhere: in a list of all that was submitted."""
        recipe = () if self.recipe is None else (f"recipe {Path(self.recipe).stem}",)
        return ", ".join((*(("quick",) if self.quick else ()), *recipe, *self.changes))

    @property
    def words(self) -> tuple[str, ...]:
        """The options by which a verb is asked for the same."""
        options = [*(("--dataset", name) for name in self.datasets), ("--seeds", str(self.seeds))]
        options += [("--recipe", self.recipe)] if self.recipe else []
        options += [("--set", text) for text in self.changes]
        quick = ("--quick",) if self.quick else ()
        return (*(word for pair in options for word in pair), *quick, *self.passed)


@dataclass(frozen=True)
class Planned:
    """One experiment of a suite: `arguments` are what `bench` is called with; `experiment` has no digests yet."""

    row: Row
    experiment: Experiment
    arguments: tuple[str, ...]


def places(suite: Suite, choice: Choice) -> list[Place]:
    """Where a suite is measured, by the data sets' full names.

    Raises:
        UserError: an unknown data set.
    """
    names = list(dict.fromkeys(full_name(name) for name in choice.datasets or suite.datasets))
    return [(full_name(train), full_name(test)) for train, test in suite.places(names)]


def experiments(suite: Suite, choice: Choice) -> Iterator[Planned]:
    """Every experiment of a suite, in the order of its table: places, then seeds, then splits, then rows; none twice.

    So an interrupted suite has whole columns of few seeds, and not a few rows of all.

    Raises:
        UserError: an unknown data set, method, recipe or setting.
    """
    seen = set()
    for train, test in places(suite, choice):
        for seed in range(choice.seeds):
            for split in range(find_dataset(train).splits):
                for row in rows_at(suite, (train, test), choice):
                    planned = _plan(row, (train, test), seed, split, choice)
                    if planned.experiment.request_hash not in seen:
                        seen.add(planned.experiment.request_hash)
                        yield planned


def rows_at(suite: Suite, place: Place, choice: Choice) -> list[Row]:
    """The rows of a suite's table at a place, but for those that can't be asked of the recipe's backbone."""
    return [
        row
        for row in suite.rows(place[0])
        if not row.backbones or _settings(row, place[0], choice)[2].backbone in row.backbones
    ]


def of_row(row: Row, place: Place, choice: Choice) -> list[Planned]:
    """The experiments of one row at one place: its seeds and splits."""
    splits = range(find_dataset(place[0]).splits)
    return [_plan(row, place, seed, split, choice) for seed in range(choice.seeds) for split in splits]


_resolved = cache(resolve)  # once a row, and not once for each of its seeds and splits


def _settings(row: Row, train: str, choice: Choice) -> tuple[str, tuple[str, ...], Settings]:
    """A row's recipe, what is changed of it, and the settings that this comes to."""
    own = recipe_for(choice.recipe, row.method) if choice.recipe and not row.recipe else row.recipe
    recipe = own or ("small" if choice.quick else find_dataset(train).recipe)
    changes = (*(QUICK if choice.quick else ()), *choice.changes, *row.changes)
    return recipe, changes, _resolved(recipe, row.method, changes)


def _plan(row: Row, place: Place, seed: int, split: int, choice: Choice) -> Planned:
    train, test = place
    BASELINES.entry(split_method(row.method)[0])  # an unknown baseline is refused before anything is queued
    recipe, changes, settings = _settings(row, train, choice)
    label = recipe_label(recipe, settings)
    test_split = split if test == train else 0
    experiment = Experiment(row.method, train, test, settings.recorded(), seed, split, "", "", "", label, test_split)
    options = {"--method": row.method, "--dataset": train, "--recipe": recipe, "--seed": seed, "--split": split}
    words = [word for option, value in options.items() for word in (option, str(value))]
    words += [word for text in changes for word in ("--set", text)]
    words += ["--test", test] if test != train else []
    return Planned(row, experiment, ("run", *words, *choice.passed))

"""The harness in a notebook: train or look up a run, load many, and read them as pandas tables.

Nothing heavy is imported before a function is called, so that `import benchmarks` stays quick.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.runs.finished import FinishedRun


def run(
    method: str,
    dataset: str,
    *,
    recipe: str | Path | None = None,
    seed: int = 0,
    split: int = 0,
    test: str | None = None,
    root: Path | None = None,
    fresh: bool = False,
    workers: int | None = None,
    **settings: Any,
) -> "FinishedRun":
    """Train and evaluate one experiment, as `bench run` does. If it has already finished, its result is returned.

    The run is saved in the folder that BENCH_RESULTS names (default: `results/runs` in the current folder).

    Args:
        method: BASELINE, BASELINE+afa or BASELINE+afa-motion.
        dataset: a name from `bench list`.
        recipe: a recipe's name or a TOML file. Default: the data set's own.
        seed: of the initial weights, the batches and the augmentation; at least 0.
        split: which of the data set's train/test splits, from 0.
        test: another data set to evaluate the model on; the result is then of that data set.
        root: the data set's folder. Default: its folder in BENCH_DATA.
        fresh: run again even if it has finished.
        workers: processes that decode frames ahead. Default: one per free core.
        settings: changes to the recipe, such as `epochs=2` or `lambda_=0.1`.

    Raises:
        UserError: an unknown name or setting, a missing data set, or settings that do not fit together.
    """
    from benchmarks.paths import results_dir
    from benchmarks.runs.finished import FinishedRun
    from benchmarks.runs.folder import RunFolder
    from benchmarks.scheduling.single_runs import run_experiment

    result = run_experiment(
        method,
        dataset,
        recipe=None if recipe is None else str(recipe),
        changes=[f"{key.rstrip('_')}={value}" for key, value in settings.items()],
        seed=seed,
        split=split,
        test=test,
        root=root,
        fresh=fresh,
        workers=workers,
    )
    if result.stale:
        warnings.warn(f"{result.name}: {'; '.join(result.stale)}; fresh=True runs it again", stacklevel=2)
    if result.warning:
        warnings.warn(f"{result.name}: {result.warning}", stacklevel=2)
    return FinishedRun(result.record, RunFolder(results_dir() / result.record.name))


def load_runs(source: str | Path | None = None) -> "list[FinishedRun]":
    """All finished runs in a folder, or in a file that `bench records export` wrote.

    Args:
        source: the folder or file. Default: the folder that BENCH_RESULTS names.

    Raises:
        UserError: no such folder or file, or a file that `bench records export` did not write.
    """
    from benchmarks.paths import results_dir
    from benchmarks.runs.finished import finished_runs, runs_in_file

    if source is None or Path(source).is_dir():
        return finished_runs(Path(source or results_dir()))
    return runs_in_file(Path(source))


def add_plugin(file: str | Path) -> None:
    """Make the baselines, matchers, backbones, data sets, suites and claims of a Python file known by name, as `--plugin` does.

    Raises:
        UserError: the file cannot be imported, registers nothing, or registers a class with a `__new__` of its own, which may
            make anything.
    """
    from baselines import BASELINES, MATCHERS
    from baselines.backbones import BACKBONES
    from baselines.interface.errors import UserError
    from baselines.interface.plugins import add_plugin as add
    from benchmarks.data import DATASETS
    from benchmarks.suites import COMPARISONS, SUITES

    registries = (BASELINES, MATCHERS, BACKBONES, DATASETS, SUITES, COMPARISONS)
    add(Path(file), registries)
    for registry in registries:
        for entry in registry.entries.values():
            if entry.file == Path(file).absolute() and "__new__" in vars(registry.get(entry.name)):
                raise UserError(f"{entry.file}: class {entry.attribute} has a __new__; write __init__ in its place")


def table(runs: "Sequence[FinishedRun]", protocol: str | None = None, feature: str = "before") -> "pd.DataFrame":
    """One row for each method and its settings, over seeds and splits, as `bench table` prints it.

    Args:
        runs: from `run` or `load_runs`.
        protocol: official, standard or full. Default: the first of each data set.
        feature: "before" or "after" batch normalisation.

    Returns:
        The columns `data set`, `method` and `runs`; the mean of each metric in percent and, as `R1 std`, its standard
        deviation over the runs; and `stale`, which says why a row is out of date. `attrs["notes"]` holds the notes
        below the printed tables.
    """
    import pandas as pd

    from benchmarks.reporting.table import COLUMNS, tables
    from benchmarks.runs.find import available_digests

    records = [run.record for run in runs]
    digests = available_digests(records) if any(run.folder for run in runs) else None  # exported runs are not judged
    rows, notes = [], []
    for each in tables(records, protocol, digests, feature):
        notes += each.notes
        for row in each.rows:
            line: dict[str, Any] = {"data set": each.title, "method": row.label, "runs": len(row.runs)}
            for column in COLUMNS:
                figures = pd.Series(row.values[column], dtype=float)
                line |= {column: figures.mean(), f"{column} std": figures.std()}
            rows.append({**line, "stale": row.stale})
    frame = pd.DataFrame(rows)
    frame.attrs["notes"] = notes
    return frame


def verdict(runs: "Sequence[FinishedRun]", protocol: str | None = None, first_seed: int = 0) -> "pd.DataFrame":
    """One row for each claim on each data set, as `bench verdict` judges it. Stale runs do not count.

    Args:
        runs: from `run` or `load_runs`.
        protocol: official, standard or full. Default: the first of each data set.
        first_seed: judge only runs with this seed or a larger one; controls may have any.

    Returns:
        The columns `data set`, `family` (paper, hypothesis, exploratory or plug-in), `claim` and `verdict`; `effect` with the
        ends of its 95% interval over other seeds on these people, `low` and `high`, and of that over other people too,
        `people low` and `people high`, in points of the claim's metric (NaN where it was not measured; `low`, `high` and `p`
        also where fewer than three seeds or splits ran: then the other interval is over other people alone); `p` before
        Holm's correction; `paper`, the effect that the paper prints for these data; `margin`, below which an effect is
        negligible; `runs`; `seeds needed` to decide an undecided claim if its true effect is the measured one; and `missing`,
        which says what such a claim lacks.
    """
    import pandas as pd

    from benchmarks.reporting.verdict import judge, seeds_from
    from benchmarks.runs.find import current_runs

    if any(run.folder for run in runs):
        runs = current_runs(runs)
    rows = []
    for each in judge(seeds_from(first_seed, runs), protocol, controls_among=runs):
        interval, people = each.interval, each.people or each.interval
        over_seeds = interval if interval and interval.question == "training" else None
        effect = interval.estimate if interval else None
        low, high = (over_seeds.low, over_seeds.high) if over_seeds else (None, None)
        people_low, people_high = (people.low, people.high) if people else (None, None)
        points = {"effect": effect, "low": low, "high": high, "people low": people_low, "people high": people_high}
        points |= {"paper": each.paper, "margin": each.margin}
        row: dict[str, Any] = {
            "data set": each.datasets.title,
            "family": each.claim.family,
            "claim": each.claim.text,
            "verdict": each.verdict_text,
        }
        row |= {name: None if value is None else 100 * value for name, value in points.items()}
        row |= {
            "p": each.p if over_seeds else None,
            "runs": each.runs,
            "seeds needed": each.needed,
            "missing": each.missing,
        }
        rows.append(row)
    frame = pd.DataFrame(rows)
    numbers = ("effect", "low", "high", "people low", "people high", "paper", "margin", "p", "seeds needed")
    return frame.astype(dict.fromkeys(numbers, float)) if rows else frame

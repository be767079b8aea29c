"""Table 1: the loader's counts of each data set, with the numbers of the paper and of the published files."""

from pathlib import Path

import pandas as pd

from benchmarks.data.dataset import Dataset
from benchmarks.data.find import find_dataset
from benchmarks.data.loading import load, why_unavailable
from benchmarks.suites.suite import Choice, Suite, dataset_pairs

from . import paper_numbers
from .grid import Grid

COUNTS = ("identities", "sequences", "frames", "cameras", "train_identities", "test_identities")


def dataset_grids(suite: Suite, choice: Choice, root: Path | None = None) -> list[Grid]:
    """A table for each data set of the suite.

    Args:
        root: the data set's folder, if it is not below BENCH_DATA.
    """
    printed = paper_numbers.read("table1")
    made = []
    for name, _ in dataset_pairs(suite, choice):
        reason = why_unavailable(name, root)
        dataset = find_dataset(name)
        table = None if reason else load(name, root=root).table
        counted = {} if table is None else count_as_table1(table, dataset)
        rows_of_paper = printed[printed.method.str.lower().str.replace("-", "") == name]
        paper = dict(zip(rows_of_paper.metric, rows_of_paper.value, strict=True))
        columns = (counted, paper, _published(dataset))
        rows = [[what, *(_number(column.get(what)) for column in columns)] for what in COUNTS]
        notes = [f"data set absent: {reason}"] if table is None else list(dataset.notes(table))
        if any("" in row[2:] for row in rows):
            notes.append("empty cells: the paper prints no number, or none was published")
        made.append(Grid(name, ("", "counted", "paper", "published"), rows, notes))
    return made


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def count_as_table1(table: pd.DataFrame, dataset: Dataset) -> dict[str, float]:
    """People without junk and distractors, sequences with them, and the mean number of frames in a sequence."""
    people = {part: set(rows.pid[rows.pid > 0]) for part, rows in table.groupby("subset")}
    train, test = people.get("train", set()), people.get("query", set())
    test = test if dataset.distractors else test | people.get("gallery", set())
    return {
        "identities": len(train) + len(test),
        "sequences": len(table),
        "frames": float(table.frames.map(len).mean()),
        "cameras": table.camid.nunique(),
        "train_identities": len(train),
        "test_identities": len(test),
    }


def _published(dataset: Dataset) -> dict[str, float]:
    parts, tested = dataset.published, dataset.test_identities
    if not parts or tested is None:
        return {}
    counts: dict[str, float] = {"sequences": sum(part["tracklets"] for part in parts.values())}
    if all("frames" in part for part in parts.values()):
        counts["frames"] = sum(part["frames"] for part in parts.values()) / counts["sequences"]
    if all("cameras" in part for part in parts.values()):
        counts["cameras"] = max(part["cameras"] for part in parts.values())
    trained = parts["train"]["identities"]
    tested -= dataset.distractors
    return {**counts, "identities": trained + tested, "train_identities": trained, "test_identities": tested}

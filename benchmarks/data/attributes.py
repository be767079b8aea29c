"""Attributes of people, such as the colour of their clothes: how they are read from a file and encoded for a baseline."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from baselines.interface.errors import UserError
from benchmarks.parsing import LONGEST_TEXT, is_text, one_line

if TYPE_CHECKING:
    from .loading import LoadedDataset

FILE = "attributes.csv"  # in the folder of a data set
LAYOUT = "pid,ATTRIBUTE,...: one row for each person, or several, whose most frequent values count"
NOT_ATTRIBUTES = ("camera", "tracklet")  # columns of the public list of MARS


def read_attributes(file: Path) -> pd.DataFrame:
    """A table of strings: a row for each pid (the sorted index), a column for each attribute; empty where a value is unknown.

    The first column of the file is the pid. If a person has several rows, the most frequent known value counts; of equally
    frequent values, the first in sorted order.

    Raises:
        UserError: the file cannot be read, or is not such a table; the message names the row, not counting empty ones.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        # Lines are parsed separately, because an open quotation mark would swallow the rows after it.
        cells = [row for line in lines for row in csv.reader([line], strict=True) if row]
        head, *rows = [[cell.strip() for cell in row] for row in cells] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read ({error})") from error
    names = head[1:]
    if not names or len(set(head)) < len(head) or head[0].isdecimal():
        raise UserError(f"{file}: its first line must name the columns, each with a different name: {LAYOUT}")
    people: dict[int, list[Counter[str]]] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(head) or not re.fullmatch("[0-9]{1,18}", row[0]):
            raise UserError(f"{file}, row {number}: not a pid and {len(names)} values; it must hold {LAYOUT}")
        counts = people.setdefault(int(row[0]), [Counter() for _ in names])
        for count, value in zip(counts, row[1:], strict=True):
            count.update([value] if value else [])
    known = {pid: [_most_frequent(count) for count in counts] for pid, counts in sorted(people.items())}
    table = pd.DataFrame.from_dict(known, orient="index", columns=names, dtype=str)
    return table.drop(columns=[name for name in NOT_ATTRIBUTES if name in names])


def _most_frequent(count: Counter[str]) -> str:
    return min(count, key=lambda value: (-count[value], value), default="")


class KnownAttributes(NamedTuple):
    """The attributes in which the training people differ, as numbers.

    Attributes:
        names: of the A attributes.
        training: (K, A) values of the K training people. The values of an attribute are sorted and counted from 0; -1: unknown.
        queries: (Q, A) values of the people of the Q queries. Values that no training person has are numbered after the others.
    """

    names: tuple[str, ...]
    training: NDArray[np.int64]
    queries: NDArray[np.int64]


def known_attributes(
    data: "LoadedDataset", training_pids: NDArray[np.int64], query_pids: NDArray[np.int64]
) -> KnownAttributes:
    """The attributes of these training people, and of the people of these queries.

    Args:
        training_pids: (K,), each once.
        query_pids: (Q,), one for each query.

    Raises:
        UserError: as `attributes_of`.
    """
    table = attributes_of(data, np.union1d(training_pids, query_pids))
    training, queries = table.loc[training_pids], table.loc[query_pids]
    values = known_values(training)
    of_all = {name: [*known, *sorted({*queries[name]} - {*known, ""})] for name, known in values.items()}
    return KnownAttributes(tuple(values), encode_attributes(training, values), encode_attributes(queries, of_all))


def attributes_of(data: "LoadedDataset", pids: NDArray[np.int64]) -> pd.DataFrame:
    """The attributes of these people of a data set, as `read_attributes` gives them; empty where a value is unknown.

    Raises:
        UserError: the data set has no attributes (the message says what to provide), or one whose name no record can hold.
    """
    table = data.dataset.attributes(data.root, pids.tolist())
    if table is None:
        raise UserError(missing_line(data.name, data.root))
    table = table.rename(columns=str).reindex(pids, fill_value="").fillna("").astype(str)
    for name in table.columns:
        if not is_text(name):
            raise UserError(
                f"data set {data.name}: the name of an attribute must have 1 to {LONGEST_TEXT} printable characters, "
                f"not {one_line(repr(name))}"
            )
    return table


def training_attributes(data: "LoadedDataset") -> pd.DataFrame:
    """The attributes of the training people of a data set.

    Raises:
        UserError: as `attributes_of`, or no two people differ in an attribute.
    """
    table = attributes_of(data, np.unique(data.table.pid[data.table.subset == "train"]))
    if not known_values(table):
        raise UserError(f"data set {data.name}: no two of its training people differ in a known attribute")
    return table


def missing_line(name: str, root: Path) -> str:
    """What to provide where a data set has no attributes."""
    return f"data set {name}: the attributes of its people are not known; put them into {root / FILE} ({LAYOUT})"


def known_values(table: pd.DataFrame) -> dict[str, list[str]]:
    """The values of each attribute in which these people differ, sorted."""
    values = {name: sorted({*table[name]} - {""}) for name in table.columns}
    return {name: known for name, known in values.items() if len(known) > 1}


def encode_attributes(table: pd.DataFrame, values: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
    """(K, A): the index in `values` of each attribute's value for each of K people; -1: unknown, or not in `values`."""
    columns = [[known.index(text) if text in known else -1 for text in table[name]] for name, known in values.items()]
    return np.array(columns, np.int64).reshape(len(columns), len(table)).T


def attributes_digest(table: pd.DataFrame) -> str:
    """sha256 of a table of attributes."""
    return hashlib.sha256(table.to_csv().encode()).hexdigest()

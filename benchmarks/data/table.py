"""The table of tracklets: every data set fills it, and everything else reads it.

A row is a tracklet:

| column   | type      | meaning |
| -------- | --------- | ------- |
| subset   | str       | `train`, `query` or `gallery` |
| pid      | int       | identity; -1 is junk (never scored); in the gallery, an identity that no query has is a distractor |
| camid    | int       | camera |
| tracklet | str       | its name, unique within its subset |
| frames   | list[str] | the frames' names in the order of time, relative to the data set's root, with `/` |

In the order of a directory listing, frames would make every motion baseline meaningless. So readers sort them, and `check`
refuses a tracklet whose frame names do not ascend.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from benchmarks.atomic import reading_derived_file

from . import JUNK

TABLE = "table.parquet"  # in the folder of a packed data set
COLUMNS = ("subset", "pid", "camid", "tracklet", "frames")
SUBSETS = ("train", "query", "gallery")


def make_table(rows: Iterable[tuple[str, int, int, str, list[str]]]) -> pd.DataFrame:
    """A table from rows in the order of `COLUMNS`."""
    table = pd.DataFrame(list(rows), columns=pd.Index(COLUMNS))
    return table.astype({"subset": "object", "pid": "int64", "camid": "int64", "tracklet": "object"})


class FrameNames(Sequence[str]):
    """The frame names of a tracklet: `rows` of an Arrow array with the names of all frames, converted when they are used.

    An Arrow array of a million names loads at once. As Python strings they would take a second, and a copy in each worker.
    """

    def __init__(self, names: pa.StringArray, rows: range) -> None:
        self.names, self.rows = names, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        if isinstance(at, slice):
            return FrameNames(self.names, self.rows[at])
        return str(self.names[self.rows[at]].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names.take(pa.array(self.rows, pa.int64())).to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as a list


def read_table(file: Path) -> pd.DataFrame:
    """A table from a Parquet file. Each row's frames are `FrameNames`.

    Raises:
        UserError: the file is missing or damaged.
    """
    with reading_derived_file(file):
        table = pq.read_table(file)
    frames = table.column("frames").combine_chunks()
    names = frames.values  # one array of all names, so that many rows are pickled with one array
    slices = pairwise(frames.offsets.to_pylist())
    result = table.drop(["frames"]).to_pandas()
    result["frames"] = np.fromiter((FrameNames(names, range(*ends)) for ends in slices), object, len(result))
    return result


def check(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return `table` if it is valid.

    Raises:
        UserError: it is not. The message begins with `source`.
    """

    def refuse(problem: str) -> None:
        raise UserError(f"{source}: {problem}")

    if not isinstance(table, pd.DataFrame):
        refuse(f"the data set's `read` returned a {type(table).__name__}; it must return a DataFrame of tracklets")
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        refuse(f"the table of tracklets lacks the columns {missing}")
    if table.empty:
        refuse("no tracklets found")
    wrong = set(table.subset.unique()) - set(SUBSETS)
    if wrong:
        refuse(f"unknown subsets {sorted(wrong)}; known: {', '.join(SUBSETS)}")
    for column in ("pid", "camid"):
        if not pd.api.types.is_integer_dtype(table[column]):
            refuse(f"column {column} must hold whole numbers")
    repeated = table[table.duplicated(["subset", "tracklet"])]
    if len(repeated):
        refuse(f"tracklet {repeated.tracklet.iloc[0]!r} appears twice in {repeated.subset.iloc[0]}")
    if (table.pid[table.subset == "train"] < 0).any():
        refuse("junk (pid -1) in the training set")
    for tracklet, frames in zip(table.tracklet, table.frames, strict=True):
        if len(frames) == 0:
            refuse(f"tracklet {tracklet!r} has no frames")
        if any(a >= b for a, b in pairwise(frames)):
            refuse(f"the frames of tracklet {tracklet!r} are not in the order of time (ascending names)")
    return table


def digest(table: pd.DataFrame, sizes: dict[str, int]) -> str:
    """sha256 over every row, every frame's name and its size in bytes. Paths are relative."""
    total = hashlib.sha256()
    for row in table.itertuples(index=False):
        frames = ";".join(f"{name}:{sizes.get(name, -1)}" for name in row.frames)
        total.update(f"{row.subset}|{row.pid}|{row.camid}|{row.tracklet}|{frames}\n".encode())
    return total.hexdigest()


def statistics(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Counts of each subset: identities, tracklets, cameras, frames, shortest, longest; and junk and distractor tracklets.

    Junk counts towards the tracklets and frames of its subset, but not as an identity.
    """
    queried = set(table.pid[table.subset == "query"])
    counts = {}
    for subset in SUBSETS:
        part = table[table.subset == subset]
        lengths = np.array([len(frames) for frames in part.frames])
        junk = part.pid == JUNK
        counts[subset] = {
            "identities": int(part.pid[~junk].nunique()),
            "tracklets": len(part),
            "cameras": int(part.camid.nunique()),
            "frames": int(lengths.sum()),
            "shortest": int(lengths.min()) if len(part) else 0,
            "longest": int(lengths.max(initial=0)),
            "junk": int(junk.sum()),
            "distractors": int((~part.pid.isin(queried) & ~junk).sum()) if subset == "gallery" else 0,
        }
    return counts

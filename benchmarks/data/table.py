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

A person is in `train` or in the test (`query` and `gallery`), and a frame is in one subset and shows one person. `check` refuses
anything else, unless a data set says that it is `overlapping`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import index
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
    """A table from rows in the order of `COLUMNS`.

    Raises:
        ValueError: a pid or camid is not a whole number of 64 bits. The message gives the tracklet.
    """
    rows = list(rows)
    for _, pid, camid, tracklet, _ in rows:
        for number in (pid, camid):
            if not isinstance(number, int | np.integer) or abs(index(number)) >= 2**63:
                raise ValueError(f"tracklet {tracklet}: {number!r:.40} is not a whole number below 2^63")
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
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


def check(table: pd.DataFrame, source: str, overlapping: bool = False) -> pd.DataFrame:
    """Return `table` if it is valid.

    Args:
        overlapping: whether persons and frames may be both in train and in the test.

    Raises:
        UserError: it is not. The message begins with `source`, and gives the first fault and the number of others.
    """
    problems = faults(table, overlapping)
    if problems:
        more = f" (and {len(problems) - 1:,} more such errors)" if len(problems) > 1 else ""
        raise UserError(f"{source}: {problems[0]}{more}")
    return table


def faults(table: pd.DataFrame, overlapping: bool = False) -> list[str]:
    """Everything that is wrong with a table. See `check`."""
    if not isinstance(table, pd.DataFrame):
        return [f"the data set's `read` returned a {type(table).__name__}; it must return a DataFrame of tracklets"]
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        return [f"the table of tracklets lacks the columns {missing}"]
    if table.empty:
        return ["no tracklets found"]
    found = []
    wrong = set(table.subset.unique()) - set(SUBSETS)
    if wrong:
        found.append(f"unknown subsets {sorted(wrong)}; known: {', '.join(SUBSETS)}")
    found += [
        f"column {column} must hold whole numbers"
        for column in ("pid", "camid")
        if not pd.api.types.is_integer_dtype(table[column])
    ]
    repeated = table[table.duplicated(["subset", "tracklet"])].drop_duplicates(["subset", "tracklet"])
    found += [f"tracklet {row.tracklet!r} appears twice in {row.subset}" for row in repeated.itertuples()]
    if (table.pid[table.subset == "train"] < 0).any():
        found.append("junk (pid -1) in the training set")
    found += shared_persons(table, overlapping)
    first: dict[str, tuple[str, int, str]] = {}  # of each frame where it is first: subset, pid, tracklet
    for row in table.itertuples(index=False):
        if len(row.frames) == 0:
            found.append(f"tracklet {row.tracklet!r} has no frames")
        if any(a >= b for a, b in pairwise(row.frames)):
            found.append(
                f"the frames of tracklet {row.tracklet!r} are not in the order of time (ascending names), or one is listed twice"
            )
        here = (row.subset, row.pid, row.tracklet)
        others = [(frame, first.setdefault(frame, here)) for frame in row.frames]
        compared = slice(1, 2) if overlapping else slice(2)
        shared = [(frame, other) for frame, other in others if other[compared] != here[compared]]
        for frame, (subset, pid, tracklet) in shared[:1]:  # one fault for a tracklet
            found.append(
                f"{len(shared):,} of the frames of tracklet {row.tracklet!r} of person {row.pid} in {row.subset}, such as "
                f"{frame!r}, are in tracklet {tracklet!r} of person {pid} in {subset}; a frame must be in one subset and "
                "show one person"
            )
    return found


def shared_persons(table: pd.DataFrame, overlapping: bool = False) -> list[str]:
    """A fault for each person who is in train and in the test; none if a data set is `overlapping`."""
    if overlapping:
        return []
    training = table.subset == "train"
    shared = table[~training & table.pid.isin(set(table.pid[training]))].drop_duplicates("pid")
    return [
        f"person {row.pid} is in train and in {row.subset}; a person must be in one of them"
        for row in shared.itertuples()
    ]


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

"""Imported data sets: what `bench data import` makes of a user's own video or images, in a folder of BENCH_CACHE.

The folder holds the packed frames, the table of tracklets, and IMPORT_NOTE: what it was made from, how many splits it has, and
what tables must say about it.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_folder, write_atomically
from benchmarks.parsing import LONGEST_TEXT

from . import DATASETS, IMPORT_NOTE, import_note, imported_folder
from .dataset import PackedDataset
from .packed_folder import write_packed
from .table import check, shared_persons

TRAINS_IN = "trains_in"  # a column of TABLE: the random splits in which a test tracklet is for training, such as "0,3"


class ImportedDataset(PackedDataset):
    """A user's own tracklets. Random splits share one table and one pack."""

    protocols = ("official", "standard", "full")

    def __init__(self, name: str) -> None:
        about = import_note(name)
        self._name = name
        self.splits = about.get("splits", 1)
        self.note = about.get("note", "")
        self.features_only = about.get("features_only", "")
        self.remarks: list[str] = about.get("remarks", [])

    @property
    def name(self) -> str:
        return self._name

    @property
    def cache_folder(self) -> Path:
        return imported_folder(self.name)

    def read(self, root: Path, split: int) -> pd.DataFrame:
        return select_split(super().read(root, split), split)

    def notes(self, table: pd.DataFrame) -> list[str]:  # noqa: ARG002 - of the whole data set
        """The note that tables print, why no run can use the data set, and what the import remarked."""
        limits = [f"for feature extraction only: {self.features_only}"] if self.features_only else []
        return [*filter(None, [self.note]), *limits, *self.remarks]


def select_split(table: pd.DataFrame, split: int) -> pd.DataFrame:
    """The tracklets of one split, from a table that may have TRAINS_IN."""
    if TRAINS_IN not in table:
        return table
    trains = [str(split) in splits.split(",") for splits in table[TRAINS_IN]]
    return table.assign(subset=table.subset.mask(trains, "train")).drop(columns=TRAINS_IN)


def check_import(name: str, to: Path, train_share: float, note: str, add: bool = False) -> None:
    """Check what every import takes.

    Args:
        add: whether the folder must exist, because the import adds to it.

    Raises:
        UserError: a name that is taken or not allowed, a folder that exists, a share outside 0 to 1, a note too long to print.
    """
    if not re.fullmatch(r"\w[\w.-]*", name) or name in DATASETS.entries:
        raise UserError(
            f"--name {name}: already taken, or has other characters than letters, digits, '.', '_' and '-'; choose another"
        )
    if not 0 < train_share < 1:
        raise UserError(f"--train-share {train_share}: must lie between 0 and 1; both subsets need persons")
    if add and not to.exists():
        raise UserError(f"--add: there is no imported data set {name}; omit --add to import the first part of it")
    if to.exists() and not add:
        raise UserError(f"{to}: exists already; choose another --name, or delete that folder first")
    if len(note) > LONGEST_TEXT or not note.isprintable():
        raise UserError(f"--note: must be one line of at most {LONGEST_TEXT} characters, to fit below a table")


def write_import(
    to: Path, table: pd.DataFrame, frames: Iterable[tuple[str, bytes]], about: dict[str, Any], replace: bool = False
) -> None:
    """Write an imported data set, completely or not at all.

    Args:
        table: of the first split, and TRAINS_IN if there are random splits.
        frames: names and encoded images of all frames. What it raises leaves nothing behind.
        about: the contents of IMPORT_NOTE.
        replace: delete the data set that is in the folder `to`, at the end.

    Raises:
        UserError: the table is not valid in each split (see `table.check`), or lists other frames than `frames`.
    """
    check(table, about["name"])
    for split in range(about.get("splits", 1)):
        if shared := shared_persons(select_split(table, split)):
            raise UserError(f"{about['name']}, split {split}: {shared[0]}")
    with atomic_folder(to, replace) as half:
        write_packed(half, table, frames)
        write_atomically(half / IMPORT_NOTE, json.dumps(about, indent=2) + "\n")


def describe_file(file: Path) -> dict[str, str]:
    """The name of a file that data were imported from, and the sha256 of its contents."""
    with open(file, "rb") as data:
        return {"name": file.name, "sha256": hashlib.file_digest(data, "sha256").hexdigest()}


def read_csv(file: Path) -> tuple[Sequence[str], list[tuple[int, dict[str, str]]]]:
    """The header of a CSV file that the user names, and its rows with their lines. Rows may be shorter or longer than the header.

    Raises:
        UserError: it cannot be read, or is not CSV.
    """
    reader = csv.DictReader(io.StringIO(read_text(file)), strict=True)  # an open quote would take in all further rows
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num + 1}: not CSV ({error})") from error
    for line, row in rows:
        if any("\n" in str(value) for value in row.values()):
            raise UserError(f"{file}, line {line}: a value with a line break; remove the quotation marks around it")
    return reader.fieldnames or (), rows


def read_text(file: Path) -> str:
    """The text of a file that the user names.

    Raises:
        UserError: it cannot be read, or is not text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not a text file") from error

"""What is left out of a data set: people who must not be used, and frames that cannot be read. Both change its digest.

The file of people has one `DATASET PID` per line, with the name and the number as in records and features. `#` begins a
comment.
"""

import hashlib
import re
from collections.abc import Collection, Iterable

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.paths import exclusion_file

from .find import full_name


def excluded_people(name: str) -> dict[int, int]:
    """The identities of a data set that must not be used, each with its line in the file.

    Raises:
        UserError: the file cannot be read, has a line that is not `DATASET PID`, or names an unknown data set.
    """
    file = exclusion_file()
    if file is None:
        return {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read, so nobody can be excluded ({error}); see BENCH_EXCLUDE") from error
    people: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not re.fullmatch("[0-9]{1,18}", words[1]):
            raise UserError(f"{file}, line {number}: write `DATASET PID`, such as `mars 17`")
        try:
            listed = full_name(words[0])
        except UserError as error:  # a misspelt name would exclude nobody
            raise UserError(f"{file}, line {number}: {error}") from None
        if listed == name:
            people.setdefault(int(words[1]), number)
    return people


def without_people(name: str, table: pd.DataFrame, splits: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The table of one split of a data set without the people who must not be used.

    Args:
        splits: the tables of all splits. They are read only if this split lacks one of the people.

    Raises:
        UserError: one of the numbers is no person of any split.
    """
    excluded = excluded_people(name)
    missing = set(excluded).difference(table.pid)
    if missing:
        missing.difference_update(*(split.pid for split in splits))
    if missing:
        pid = min(missing, key=excluded.__getitem__)
        raise UserError(
            f"{exclusion_file()}, line {excluded[pid]}: {name} has no person {pid}; write the number as in records"
        )
    return table[~table.pid.isin(list(excluded))].reset_index(drop=True) if excluded else table


def digest_without_people(name: str, digest: str) -> str:
    """The digest of a data set without the people who must not be used, from that of the whole; the same if there are none."""
    return digest_without(digest, [str(pid) for pid in excluded_people(name)])


def people_note(name: str) -> str:
    """What tables must say of the people who are left out; empty if there are none."""
    count = len(excluded_people(name))
    return f"without {count:,} {'person' if count == 1 else 'people'}" if count else ""


def without_frames(table: pd.DataFrame, frames: Collection[str]) -> pd.DataFrame:
    """A table without these frames, and without the tracklets that have no others."""
    kept = [[frame for frame in names if frame not in frames] for names in table.frames]
    return table.assign(frames=kept)[[bool(names) for names in kept]].reset_index(drop=True)


def digest_without(digest: str, left_out: Collection[str]) -> str:
    """The digest of a data set without what `left_out` names, from that of the whole; the same if nothing is left out."""
    if not left_out:
        return digest
    return hashlib.sha256("\n".join([digest, *sorted(left_out)]).encode()).hexdigest()

"""Records in the results directory: write one, read one, load all."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from baselines.interface.errors import UserError
from benchmarks.atomic import write_atomically

from .checksums import checked_file
from .folder import RunFolder, run_folders
from .record import Record, parse_record, record_to_json
from .record_index import Entry, file_state, read_index, update_index


def write_record(folder: RunFolder, record: Record, queries: pd.DataFrame) -> None:
    """Write the results of each query first and the record last: a reader that sees a record sees all of the run.

    Raises:
        UserError: a field that no reader would accept.
    """
    text = record_to_json(record)
    parse_record(text, folder.record)
    with checked_file(folder.queries) as half:
        queries.to_parquet(half, index=False)
    write_atomically(folder.record, text)


def read_record(folder: RunFolder) -> Record | None:
    """The record of a finished run; None if the run is not finished.

    Raises:
        UserError: not a record, or one that this version cannot read; the line names the file and the field.
    """
    try:
        text = folder.record.read_bytes()
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise  # the results directory itself is a file; the command line names the variable
    except OSError as error:
        raise UserError(f"{folder.record}: cannot be read ({error.strerror})") from error
    try:
        return parse_record(text, folder.record)
    except UserError as error:
        raise UserError(f"{error}; --fresh makes it again") from error


def readable_record(folder: RunFolder) -> Record | None:
    """As `read_record`; None, with a line on stderr, also for a record that cannot be read."""
    try:
        return read_record(folder)
    except UserError as error:
        leave_out(error)
        return None


def read_finished(results_dir: Path) -> Iterator[tuple[RunFolder, Record]]:
    """Every finished run, by name. A record that cannot be read is left out, with a line on stderr.

    So is a copy of a run in a second folder: it would count as another seed.
    """
    indexed, entries = read_index(results_dir), dict[str, Entry]()
    found: dict[str, RunFolder] = {}
    for folder in run_folders(results_dir):
        state, entry = file_state(folder.record), indexed.get(folder.path.name)
        if entry is None or entry.state != state:
            read = readable_record(folder)
            if read is None:
                continue
            entry = Entry(state, read)
        entries[folder.path.name], record = entry, entry.record
        if record.name in found:
            leave_out(UserError(f"{folder.path}: a copy of {found[record.name].path}; remove one of them"))
            continue
        found[record.name] = folder
        yield folder, record
    update_index(results_dir, indexed, entries)


def load_records(results_dir: Path) -> list[Record]:
    """The records of all finished runs, by name. One that cannot be read is left out, with a line on stderr."""
    return [record for _, record in read_finished(results_dir)]


def leave_out(error: UserError) -> None:
    """Report on stderr what is left out, and why."""
    print(f"bench: left out: {error}", file=sys.stderr)

"""Finished runs in one file, to share or to commit. It contains neither user names nor absolute paths."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file
from benchmarks.parsing import parse_json

from .folder import RunFolder
from .query_file import check_queries, read_queries
from .record import Record, parse_record, record_to_json
from .store import leave_out, read_record, write_record

RECORDS = b"bench records"  # the key of the records in the file's metadata


def export_runs(runs: Sequence[tuple[RunFolder, Record]], file: Path) -> int:
    """Write runs to one parquet file: a row for each query and protocol with its run's name; the records in the metadata.

    A run whose results are damaged is left out, with a line on stderr.

    Returns:
        How many runs were written.

    Raises:
        UserError: `file` is a folder, or there is no run to write.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write, such as {file / 'runs.parquet'}")
    parts, records = [], []
    for folder, record in runs:
        try:
            parts.append(read_queries(folder.queries).assign(run=record.name))
        except UserError as error:
            leave_out(error)
        else:
            records.append(json.loads(record_to_json(record)))
    if not records:
        raise UserError(f"{file}: not written, because the results of every run are damaged; --fresh makes them again")
    table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    text = json.dumps(records, sort_keys=True, allow_nan=False)
    with atomic_file(file) as half:
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), RECORDS: text}), half, compression="zstd"
        )
    return len(records)


def exported_records(file: Path) -> list[Record]:
    """The records in a file that `export_runs` wrote. One that cannot be read is left out, with a line on stderr.

    Raises:
        UserError: no such file, or not such a file.
    """
    try:
        text = pq.read_schema(file).metadata[RECORDS]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench records export FILE` writes one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:  # Arrow's own errors are ValueErrors
        raise UserError(f"{file}: not a file that `bench records export` wrote ({type(error).__name__})") from error
    values = parse_json(text, f"{file}, its records")
    if not isinstance(values, list):
        raise UserError(f"{file}: not a file that `bench records export` wrote (its records are not a list)")
    records = []
    for number, each in enumerate(values, 1):
        try:
            records.append(parse_record(json.dumps(each), f"{file}, record {number}"))
        except UserError as error:
            leave_out(error)
    return records


def exported_runs(file: Path) -> list[tuple[Record, pd.DataFrame]]:
    """The records in such a file, each with the results of its queries. A run that appears again counts once.

    One whose record or results are damaged is left out, with a line on stderr.

    Raises:
        UserError: as `exported_records`, or all results are damaged.
    """
    records = exported_records(file)
    try:
        table = pd.read_parquet(file)
        rows = dict(iter(table.groupby("run")))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file}: the results of its queries are damaged ({type(error).__name__})") from error
    runs = {}
    for record in records:
        queries = rows.get(record.name, table.iloc[:0]).drop(columns="run")
        try:
            runs[record.name] = (record, check_queries(queries, f"{file}, {record.name}: export it again"))
        except UserError as error:
            leave_out(error)
    return list(runs.values())


def merge_file(file: Path, results_dir: Path) -> tuple[int, int]:
    """Add the runs of a file that `export_runs` wrote to the results directory, without weights and curves.

    A run that cannot be added, because it or its record here is damaged or it runs here, is left out with a line on stderr.

    Returns:
        How many were added, and how many were there already.

    Raises:
        UserError: as `exported_runs`.
    """
    were_added = []
    for record, queries in exported_runs(file):
        try:
            were_added.append(_add(RunFolder(results_dir / record.name), record, queries))
        except UserError as error:
            leave_out(error)
    return sum(were_added), len(were_added) - sum(were_added)


def _add(folder: RunFolder, record: Record, queries: pd.DataFrame) -> bool:
    """Write a run, unless the folder has its record. Whether it was written."""
    if read_record(folder) is not None:
        return False
    with folder.lock():
        if read_record(folder) is not None:  # it finished meanwhile
            return False
        write_record(folder, record, queries)
    return True

"""Finished runs in one file, to share or to commit. It contains neither user names nor absolute paths."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file

from .folder import RunFolder
from .record import Record, parse_record, record_to_json
from .store import leave_out, read_record, write_record

RECORDS = b"bench records"  # the key of the records in the file's metadata


def export_runs(runs: Sequence[tuple[RunFolder, Record]], file: Path) -> None:
    """Write runs to one parquet file: a row for each query and protocol with its run's name; the records in the metadata.

    Raises:
        UserError: `file` is a folder.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write, such as {file / 'runs.parquet'}")
    parts = [pd.read_parquet(folder.queries).assign(run=record.name) for folder, record in runs]
    table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    text = json.dumps([json.loads(record_to_json(record)) for _, record in runs], sort_keys=True, allow_nan=False)
    with atomic_file(file) as half:
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), RECORDS: text}), half, compression="zstd"
        )


def exported_records(file: Path) -> list[Record]:
    """The records in a file that `export_runs` wrote. One that cannot be read is left out, with a line on stderr.

    Raises:
        UserError: no such file, or not such a file.
    """
    try:
        values = json.loads(pq.read_schema(file).metadata[RECORDS])
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench records export FILE` writes one") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:  # Arrow's own errors are ValueErrors
        raise UserError(f"{file}: not a file that `bench records export` wrote ({type(error).__name__})") from error
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
    """The records in such a file, each with the results of its queries.

    Raises:
        UserError: as `exported_records`, or the results are damaged.
    """
    records = exported_records(file)
    try:
        table = pd.read_parquet(file)
        rows = dict(iter(table.groupby("run")))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file}: the results of its queries are damaged ({type(error).__name__})") from error
    return [(record, rows.get(record.name, table.iloc[:0]).drop(columns="run")) for record in records]


def merge_file(file: Path, results_dir: Path) -> tuple[int, int]:
    """Add the runs of a file that `export_runs` wrote to the results directory, without weights and curves.

    Returns:
        How many were added, and how many were there already.

    Raises:
        UserError: as `exported_runs`.
    """
    runs = [(RunFolder(results_dir / record.name), record, queries) for record, queries in exported_runs(file)]
    new = [(folder, record, queries) for folder, record, queries in runs if read_record(folder) is None]
    for folder, record, queries in new:
        with folder.lock():
            write_record(folder, record, queries)
    return len(new), len(runs) - len(new)

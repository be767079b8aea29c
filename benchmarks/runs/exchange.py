"""Finished runs in one file, to share or to commit. It contains neither user names nor absolute paths."""

import hashlib
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
from .staleness import shows_excluded
from .store import leave_out, read_record, write_record

RECORDS = b"bench records"  # the keys in the file's metadata: of the records,
DIGESTS = b"bench digests"  # and of two sha256, of the records and of the rows. Earlier versions wrote none


def export_runs(runs: Sequence[tuple[RunFolder, Record]], file: Path) -> int:
    """Write runs to one parquet file: a row for each query and protocol with its run's name; the records in the metadata.

    A run whose results are damaged, or which used people who must not be used now, is left out, with a line on stderr.

    Returns:
        How many runs were written.

    Raises:
        UserError: `file` is a folder, or there is no run to write.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write, such as {file / 'runs.parquet'}")
    parts, records = [], []
    for folder, record in runs:
        if data := shows_excluded(record):
            remedy = "score the files without them" if record.experiment.external else "run it again"
            why = f"it used, or may have used, people of {data} who are excluded now; {remedy}"
            leave_out(UserError(f"{record.name}: {why}"))
            continue
        try:
            parts.append(read_queries(folder.queries).assign(run=record.name))
        except UserError as error:
            leave_out(error)
        else:
            records.append(json.loads(record_to_json(record)))
    if not records:
        raise UserError(f"{file}: not written, because every run is left out; --fresh makes them again")
    rows = pd.concat(parts, ignore_index=True)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    text = json.dumps(records, sort_keys=True, allow_nan=False).encode()
    about = {RECORDS: text, DIGESTS: f"{hashlib.sha256(text).hexdigest()} {_digest(rows)}"}
    with atomic_file(file) as half:
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), **about}), half, compression="zstd"
        )
    return len(records)


def exported_records(file: Path) -> list[Record]:
    """The records in a file that `export_runs` wrote. One that cannot be read is left out, with a line on stderr.

    Raises:
        UserError: no such file, not such a file, or one whose records were damaged.
    """
    try:
        metadata = pq.read_schema(file).metadata
        text, digests = metadata[RECORDS], metadata.get(DIGESTS, b"").split()
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench records export FILE` writes one") from None
    except Exception as error:  # readers of damaged files fail in a dozen ways
        raise UserError(f"{file}: not a file that `bench records export` wrote ({type(error).__name__})") from error
    if len(digests) != 2:
        raise UserError(f"{file}: has no checksums: damaged, or of an earlier version; export it again")
    if hashlib.sha256(text).hexdigest().encode() != digests[0]:
        raise UserError(f"{file}: damaged (the checksum of its records is wrong); export it again")
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
        changed = _digest(table).encode() != pq.read_schema(file).metadata[DIGESTS].split()[1]
        rows = dict(iter(table.groupby("run")))
    except Exception as error:  # readers of damaged files fail in a dozen ways
        raise UserError(f"{file}: the results of its queries are damaged ({type(error).__name__})") from error
    if changed:
        raise UserError(f"{file}: damaged (the checksum of its queries' results is wrong); export it again")
    runs = {}
    for record in records:
        queries = rows.get(record.name, table.iloc[:0]).drop(columns="run")
        try:
            runs[record.name] = (record, check_queries(queries, f"{file}, {record.name}: export it again"))
        except UserError as error:
            leave_out(error)
    return list(runs.values())


def _digest(rows: pd.DataFrame) -> str:
    """sha256 of the names and types of the columns and of all values; the same by each version of pandas."""
    # Before version 3, pandas has texts as objects.
    kinds = (f"{name}:{'str' if kind.kind == 'O' else kind}" for name, kind in rows.dtypes.items())
    total = hashlib.sha256(" ".join(kinds).encode())
    total.update(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes())
    return total.hexdigest()


def merge_file(file: Path, results_dir: Path) -> tuple[int, int]:
    """Add the runs of a file that `export_runs` wrote to the results directory, without weights and curves.

    A run that cannot be added, because it or its record here is damaged or it runs here, is left out with a line on stderr.

    Returns:
        How many were added, and how many were there already.

    Raises:
        UserError: as `exported_runs`, or the file has no run that can be added.
    """
    were_added = []
    for record, queries in exported_runs(file):
        try:
            were_added.append(_add(RunFolder(results_dir / record.name), record, queries))
        except UserError as error:
            leave_out(error)
    if not were_added:
        raise UserError(f"{file}: no run in it can be added")
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

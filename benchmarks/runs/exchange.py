"""Finished runs as one file: for a co-author, and beside the README. It names neither users nor absolute paths."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from baselines.interface.errors import UserError
from benchmarks.atomic import atomic_file

from .records import Record, RunFolder, checked, read, write

RECORDS = b"bench records"  # where the records stand in the file's metadata


def export(runs: list[tuple[RunFolder, Record]], file: Path) -> None:
    """Many runs in one parquet file to share: a row a query and protocol with its run's name; the records in the metadata.

    Raises:
        UserError: `file` is a folder.
    """
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write, such as {file / 'runs.parquet'}")
    parts = [pd.read_parquet(folder.queries).assign(run=record["name"]) for folder, record in runs]
    table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    text = json.dumps([record for _, record in runs], sort_keys=True, allow_nan=False)
    with atomic_file(file) as half:
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), RECORDS: text}), half, compression="zstd"
        )


def exported(file: Path) -> list[Record]:
    """The records in a file that `export` wrote.

    Raises:
        UserError: no such file, not one of ours, or records of another format.
    """
    try:
        return [checked(record, file) for record in json.loads(pq.read_schema(file).metadata[RECORDS])]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; `bench records export FILE` writes one") from None
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise UserError(f"{file}: not a file that `bench records export` wrote ({type(error).__name__})") from error


def with_queries(file: Path) -> list[tuple[Record, pd.DataFrame]]:
    """The records in such a file, each with its results a query.

    Raises:
        UserError: as `exported`.
    """
    found = exported(file)
    rows = dict(iter(pd.read_parquet(file).groupby("run")))
    return [(record, rows[record["name"]].drop(columns="run")) for record in found]


def merge(file: Path, place: Path) -> tuple[int, int]:
    """Lay the runs of a file that `export` wrote below `place`; how many, and how many were there before.

    They have neither weights nor curves.

    Raises:
        UserError: as `exported`; or a run's name is a path.
    """
    found = with_queries(file)
    missing = [(record, rows) for record, rows in found if read(_inside(place, record["name"], file)) is None]
    for record, rows in missing:
        folder = _inside(place, record["name"], file)
        with folder.lock():
            write(folder, record, rows)
    return len(missing), len(found) - len(missing)


def _inside(place: Path, name: str, file: Path) -> RunFolder:
    if name != Path(name).name:
        raise UserError(f"{file}: {name!r} is not the name of a run")
    return RunFolder(place / name)

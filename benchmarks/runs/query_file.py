"""The results of a run's queries on disk: their only reader, which checks every column."""

from pathlib import Path

import pandas as pd

from baselines.interface.errors import UserError

from .checksums import check_file, damaged
from .metrics import QUERY_COLUMNS

NO_QUERIES = pd.DataFrame(columns=pd.Index(QUERY_COLUMNS))


def read_queries(file: Path) -> pd.DataFrame:
    """The results of each query under every protocol; `NO_QUERIES` if the file has no rows.

    Raises:
        UserError: the file is missing, damaged, or as `check_queries` says.
    """
    try:
        check_file(file)
        table = pd.read_parquet(file)
    except UserError:
        raise
    except Exception as error:  # readers of damaged files fail in a dozen ways
        raise damaged(file, type(error).__name__) from error
    return check_queries(table, f"{file}: --fresh runs it again")


def check_queries(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """The table itself, or `NO_QUERIES` if it has no rows.

    Args:
        source: the beginning of messages.

    Raises:
        UserError: a column is missing, has another type, or has a value that no query can have.
    """
    if table.empty:
        return NO_QUERIES
    if missing := [name for name in QUERY_COLUMNS if name not in table]:
        raise UserError(f"{source}; it has no column {missing[0]}")
    types = {"pid": "iu", "camid": "iu", "average_precision": "f", "first_hit_rank": "f"}
    for name, kinds in types.items():
        if getattr(table[name].dtype, "kind", "O") not in kinds:
            raise UserError(f"{source}; its column {name} has the type {table[name].dtype}")
    for name in ("protocol", "feature", "query"):
        if not pd.api.types.is_string_dtype(table[name]):
            raise UserError(f"{source}; its column {name} is not text")
    precision, rank = table.average_precision, table.first_hit_rank
    wrong = (precision < 0) | (precision > 1) | (rank < 1) | (precision.isna() != rank.isna())
    if wrong.any():
        query = str(table["query"][wrong].iloc[0])
        raise UserError(f"{source}; query {query!r} has an average precision or a rank that cannot be")
    return table

"""The results of rankings: a row of metrics for the record, and a table with the results of each query."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.evaluation.ranking import Ranking, rank

from .record import RANKS, Metrics

QUERY_COLUMNS = ("protocol", "feature", "query", "pid", "camid", "average_precision", "first_hit_rank")


def metrics_of(rankings: Mapping[str, Ranking], feature: str) -> list[Metrics]:
    """A row for each protocol."""
    rows = []
    for protocol, ranking in rankings.items():
        matched = int((~np.isnan(ranking.first_hit_rank)).sum())
        fractions = {"mAP": ranking.map, **{f"R{k}": rank(ranking.cmc, k) for k in RANKS}}
        known = {metric: None if np.isnan(value) else float(value) for metric, value in fractions.items()}
        unmatched = len(ranking.first_hit_rank) - matched
        rows.append(Metrics(protocol=protocol, feature=feature, **known, queries=matched, unmatched=unmatched))
    return rows


def query_table(rankings: Mapping[str, Ranking], feature: str, queries: pd.DataFrame) -> pd.DataFrame:
    """A row for each query and protocol, with QUERY_COLUMNS; first_hit_rank is NaN where the query has no match."""
    parts = [
        pd.DataFrame(
            {
                "protocol": protocol,
                "feature": feature,
                "query": queries.tracklet.to_numpy(),
                "pid": queries.pid.to_numpy(),
                "camid": queries.camid.to_numpy(),
                "average_precision": ranking.average_precision,
                "first_hit_rank": ranking.first_hit_rank,
            }
        )
        for protocol, ranking in rankings.items()
    ]
    return pd.concat(parts, ignore_index=True)

"""Evaluation at MARS's size, every protocol at once, beside the bare matrix product and a per-query argsort loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.evaluation import PROTOCOLS, evaluate_features

QUERIES, GALLERY, CHANNELS, IDENTITIES, CAMERAS = 1980, 9330, 2048, 626, 6
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def case() -> Case:
    """Clustered features, and labels of MARS's counts: (query, gallery, query pids, camids, gallery pids, camids)."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(IDENTITIES, CHANNELS)).astype(np.float32)

    def part(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pids = draw.integers(0, IDENTITIES, rows)
        noise = draw.normal(scale=3.2, size=(rows, CHANNELS)).astype(np.float32)
        return centres[pids] + noise, pids + 1, draw.integers(1, CAMERAS + 1, rows)

    query, pids, camids = part(QUERIES)
    gallery, other_pids, other_camids = part(GALLERY)
    return query, gallery, pids, camids, other_pids, other_camids


def test_bare_product(benchmark: Callable[..., Any], case: Case) -> None:
    query, columns = case[0], np.concatenate([case[1], case[0]])
    benchmark(lambda: [query[first : first + 512] @ columns.T for first in range(0, QUERIES, 512)])


def test_all_protocols_at_once(benchmark: Callable[..., Any], case: Case) -> None:
    benchmark(lambda: evaluate_features(*case, protocols=tuple(PROTOCOLS)))


def test_argsort_loop_for_one_protocol(benchmark: Any, case: Case) -> None:
    """What is usually written: the whole matrix, a full sort, and a loop over queries."""
    query, gallery, pids, camids, other_pids, other_camids = case

    def loop() -> float:
        distances = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None] - 2 * query @ gallery.T
        precisions = []
        for row, pid, camid in zip(np.argsort(distances, axis=1), pids, camids, strict=True):
            order = row[~((other_pids[row] == pid) & (other_camids[row] == camid))]
            hits = (other_pids[order] == pid).astype(float)
            if hits.any():
                precisions.append((hits.cumsum() / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
        return float(np.mean(precisions))

    benchmark.pedantic(loop, rounds=2)

"""Evaluation under every protocol at once, compared with the matrix product alone and with the usual argsort per query.

At MARS's size, and for 100,000 queries in a gallery of a million, measured on some blocks of the queries.
"""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.evaluation.protocols import PROTOCOLS
from benchmarks.evaluation.ranking import evaluate_features

from .comparison import compare, note_row
from .reference import BLOCK, NOISE, features, product

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # query pids, camids, gallery pids, camids
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# MARS's test set: how many of the 626 people 2, 3, ... 6 cameras see. There is one query per person and camera. 14 people have
# no tracklet in the gallery and 112 only in one camera, so that 140 queries have no match under `standard`.
PEOPLE_BY_CAMERAS = {2: 213, 3: 202, 4: 132, 5: 54, 6: 25}
ABSENT, ONE_CAMERA, IN_GALLERY, DISTRACTORS = 14, 112, 6082, 3248
RANKING = "one pass that makes keys of the products, and the ranking of what is as near as the farthest hit"


def mars_labels(draw: np.random.Generator) -> Labels:
    cameras = np.repeat(list(PEOPLE_BY_CAMERAS), list(PEOPLE_BY_CAMERAS.values()))
    pids = np.repeat(np.arange(len(cameras)), cameras)
    camids = np.concatenate([draw.permutation(6)[:count] for count in cameras])
    first = np.cumsum(cameras) - cameras
    few = ABSENT + ONE_CAMERA
    once = np.concatenate([first[ABSENT:], first[few:] + 1])
    share = draw.lognormal(sigma=0.7, size=len(cameras))[pids]  # some people are seen often
    share[pids < few] = 0
    share[first[ABSENT:few]] = 1
    gallery = np.concatenate([once, draw.choice(len(pids), IN_GALLERY - len(once), p=share / share.sum())])
    distractors = np.zeros(DISTRACTORS, int), draw.integers(0, 6, DISTRACTORS)
    return (
        pids + 1,
        camids,
        np.concatenate([pids[gallery] + 1, distractors[0]]),
        np.concatenate([camids[gallery], distractors[1]]),
    )


NOISE_OF_MANY = 1.8  # mAP about 0.8 with 512 channels in the large gallery


@pytest.fixture(scope="module")
def mars() -> Case:
    draw = np.random.default_rng(0)
    labels = mars_labels(draw)
    centres = draw.standard_normal((int(labels[0].max()) + 1, 2048), np.float32)
    return features(draw, labels[0], centres, NOISE), features(draw, labels[2], centres, NOISE), *labels


def test_mars(benchmark: Any, mars: Case) -> None:
    mean_precision = evaluate_features(*mars, PROTOCOLS)["official"].map
    compare(
        benchmark,
        lambda: evaluate_features(*mars, PROTOCOLS),
        lambda: product(*mars[:2]),
        what=f"evaluation at MARS's size, every protocol at once, features of mAP {mean_precision:.2f}",
        limit="the matrix product alone",
        target=1.2,
        rounds=9,
        note=RANKING,
    )


def test_mars_random_features(benchmark: Any, mars: Case) -> None:
    draw = np.random.default_rng(0)
    random = [draw.standard_normal(part.shape, np.float32) for part in mars[:2]]
    compare(
        benchmark,
        lambda: evaluate_features(random[0], random[1], *mars[2:], PROTOCOLS),
        lambda: product(random[0], random[1]),
        what="the same, random features",
        limit="the matrix product alone",
        target=1.35,
        note="hits are far down, so that whole rows are sorted; no model has such features",
    )


def usual_loop(case: Case, ranks: int = 50) -> tuple[np.ndarray, float]:
    """CMC and mAP as Torchreid computes them: the whole matrix, its argsort, a matrix of matches, and a loop over queries."""
    query, gallery, pids, camids, other_pids, other_camids = case
    distances = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None] - 2 * query @ gallery.T
    indices = np.argsort(distances, axis=1)
    matches = (other_pids[indices] == pids[:, None]).astype(np.int32)
    curves, precisions = [], []
    for row in range(len(query)):
        order = indices[row]
        removed = (other_pids[order] == pids[row]) & (other_camids[order] == camids[row])
        hits = matches[row][~removed]
        if not np.any(hits):
            continue
        curve = hits.cumsum()
        curve[curve > 1] = 1
        curves.append(curve[:ranks])
        precision = [count / (position + 1.0) for position, count in enumerate(hits.cumsum())]
        precisions.append((np.asarray(precision) * hits).sum() / hits.sum())
    return np.asarray(curves).astype(np.float32).mean(0), float(np.mean(precisions))


def test_usual_loop(benchmark: Any, mars: Case) -> None:
    """The loop computes one protocol, `standard`; ours computes all."""
    results = []
    compare(
        benchmark,
        lambda: results.append(evaluate_features(*mars, PROTOCOLS)["standard"].map),
        lambda: results.append(usual_loop(mars)[1]),
        what="evaluation at MARS's size, every protocol at once",
        limit="the usual argsort and loop over queries, one protocol",
        target=20,
        better="at least",
        rounds=1,
    )
    assert results == pytest.approx(results[:1] * len(results), abs=1e-4)


QUERIES, GALLERY, CHANNELS, PEOPLE, SAMPLE = 100_000, 1_000_000, 512, 20_000, 2 * BLOCK


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Two blocks of queries, and the gallery as a memory map of 2 GB, a third of it distractors."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((PEOPLE + 1, CHANNELS), np.float32)
    pids, camids = draw.integers(1, PEOPLE + 1, GALLERY), draw.integers(0, 6, GALLERY)
    pids[draw.random(GALLERY) < 1 / 3] = 0
    query_labels = draw.integers(1, PEOPLE + 1, SAMPLE), draw.integers(0, 6, SAMPLE)
    file = Path(tmp_path_factory.mktemp("million")) / "gallery.npy"
    gallery = np.lib.format.open_memmap(file, "w+", np.float32, (GALLERY, CHANNELS))
    for first in range(0, GALLERY, 50_000):
        gallery[first : first + 50_000] = features(draw, pids[first : first + 50_000], centres, NOISE_OF_MANY)
    del gallery
    yield (
        features(draw, query_labels[0], centres, NOISE_OF_MANY),
        np.load(file, mmap_mode="r"),
        *query_labels,
        pids,
        camids,
    )
    file.unlink()


def test_million(benchmark: Any, million: Case) -> None:
    """Blocks are independent, so that the time of all 100,000 queries follows from that of a sample."""
    seconds, _ = compare(
        benchmark,
        lambda: evaluate_features(*million, PROTOCOLS),
        lambda: product(*million[:2]),
        what=f"evaluation of {QUERIES:,} x {GALLERY:,}, D = {CHANNELS}, by {SAMPLE:,} of the queries",
        limit="the matrix product alone",
        target=1.25,
        rounds=2,
        note=RANKING,
    )
    benchmark.extra_info["measured"] += f"; all queries: {seconds * QUERIES / SAMPLE / 60:.0f} min"


def test_million_memory(benchmark: Any, million: Case) -> None:
    """The memory of one block, which is all that is held at a time; the memory map is not counted."""
    query, gallery, pids, camids, other_pids, other_camids = million
    block = query[:BLOCK], gallery, pids[:BLOCK], camids[:BLOCK], other_pids, other_camids
    tracemalloc.start()
    benchmark.pedantic(lambda: evaluate_features(*block, PROTOCOLS))
    peak = tracemalloc.get_traced_memory()[1] / 2**30
    tracemalloc.stop()
    note_row(benchmark, "the same: memory in addition to the memory-mapped features", "", peak, 4, unit="GiB")

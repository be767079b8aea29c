"""Evaluation, every protocol at once, beside the bare matrix product and the usual loop over queries with an argsort of each.

At MARS's size, and for 100,000 queries in a gallery of a million rows, of which some blocks of queries are taken.
"""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.evaluation.ranking import PROTOCOLS, evaluate_features

from .comparison import beside, note_row
from .reference import BLOCK, NOISE, features, product

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # query pids, camids, gallery pids, camids
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# MARS's test set: of 626 people so many are seen by 2, 3, ... 6 cameras, and a query is one tracklet of each person and camera.
# 14 people have no tracklet in the gallery, 112 in one camera alone: 140 queries have no match under `standard`.
SEEN_BY = {2: 213, 3: 202, 4: 132, 5: 54, 6: 25}
NOWHERE, ONE_CAMERA, SHOWN, DISTRACTORS = 14, 112, 6082, 3248
RANKING = (
    "one pass that makes distances of the products, and the picking out and ranking of what is as near as the hits"
)


def mars_labels(draw: np.random.Generator) -> Labels:
    cameras = np.repeat(list(SEEN_BY), list(SEEN_BY.values()))
    pids = np.repeat(np.arange(len(cameras)), cameras)
    camids = np.concatenate([draw.permutation(6)[:count] for count in cameras])
    first = np.cumsum(cameras) - cameras
    alone = NOWHERE + ONE_CAMERA
    sure = np.concatenate([first[NOWHERE:], first[alone:] + 1])
    share = draw.lognormal(sigma=0.7, size=len(cameras))[pids]  # some people are seen often
    share[pids < alone] = 0
    share[first[NOWHERE:alone]] = 1
    shown = np.concatenate([sure, draw.choice(len(pids), SHOWN - len(sure), p=share / share.sum())])
    strangers = np.zeros(DISTRACTORS, int), draw.integers(0, 6, DISTRACTORS)
    return (
        pids + 1,
        camids,
        np.concatenate([pids[shown] + 1, strangers[0]]),
        np.concatenate([camids[shown], strangers[1]]),
    )


NOISE_OF_MANY = 1.8  # mAP about 0.8 with 512 channels in the large gallery


@pytest.fixture(scope="module")
def mars() -> Case:
    draw = np.random.default_rng(0)
    labels = mars_labels(draw)
    centres = draw.standard_normal((int(labels[0].max()) + 1, 2048), np.float32)
    return features(draw, labels[0], centres, NOISE), features(draw, labels[2], centres, NOISE), *labels


def test_mars(benchmark: Any, mars: Case) -> None:
    found = evaluate_features(*mars, PROTOCOLS)["official"].map
    beside(
        benchmark,
        lambda: evaluate_features(*mars, PROTOCOLS),
        lambda: product(*mars[:2]),
        what=f"evaluation at MARS's size, every protocol at once, features of mAP {found:.2f}",
        limit="the bare matrix product",
        target=1.3,
        rounds=9,
        note=RANKING,
    )


def test_mars_random_features(benchmark: Any, mars: Case) -> None:
    draw = np.random.default_rng(0)
    random = [draw.standard_normal(part.shape, np.float32) for part in mars[:2]]
    beside(
        benchmark,
        lambda: evaluate_features(random[0], random[1], *mars[2:], PROTOCOLS),
        lambda: product(random[0], random[1]),
        what="the same, random features",
        limit="the bare matrix product",
        target=1.3,
        note="the nearest hits are far down, so that whole rows are sorted; no model's features are so",
    )


def usual_loop(case: Case, ranks: int = 50) -> tuple[np.ndarray, float]:
    """CMC and mAP as the Torchreid line of code computes them: the whole matrix, its argsort, a matrix of matches, a loop."""
    query, gallery, pids, camids, other_pids, other_camids = case
    distances = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None] - 2 * query @ gallery.T
    indices = np.argsort(distances, axis=1)
    matches = (other_pids[indices] == pids[:, None]).astype(np.int32)
    curves, precisions = [], []
    for row in range(len(query)):
        order = indices[row]
        removed = (other_pids[order] == pids[row]) & (other_camids[order] == camids[row])
        found = matches[row][~removed]
        if not np.any(found):
            continue
        curve = found.cumsum()
        curve[curve > 1] = 1
        curves.append(curve[:ranks])
        precision = [hits / (place + 1.0) for place, hits in enumerate(found.cumsum())]
        precisions.append((np.asarray(precision) * found).sum() / found.sum())
    return np.asarray(curves).astype(np.float32).mean(0), float(np.mean(precisions))


def test_usual_loop(benchmark: Any, mars: Case) -> None:
    """The loop knows one protocol, `standard`; ours computes all that there are."""
    results = []
    beside(
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
    """Two blocks of queries, and the gallery as a memory map of 2 GB; a third of it are distractors."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((PEOPLE + 1, CHANNELS), np.float32)
    pids, camids = draw.integers(1, PEOPLE + 1, GALLERY), draw.integers(0, 6, GALLERY)
    pids[draw.random(GALLERY) < 1 / 3] = 0
    asked = draw.integers(1, PEOPLE + 1, SAMPLE), draw.integers(0, 6, SAMPLE)
    file = Path(tmp_path_factory.mktemp("million")) / "gallery.npy"
    gallery = np.lib.format.open_memmap(file, "w+", np.float32, (GALLERY, CHANNELS))
    for first in range(0, GALLERY, 50_000):
        gallery[first : first + 50_000] = features(draw, pids[first : first + 50_000], centres, NOISE_OF_MANY)
    del gallery
    yield features(draw, asked[0], centres, NOISE_OF_MANY), np.load(file, mmap_mode="r"), *asked, pids, camids
    file.unlink()


def test_million(benchmark: Any, million: Case) -> None:
    """Blocks do not know of each other, so that what one takes is what each of the 100,000 queries' takes."""
    seconds, _ = beside(
        benchmark,
        lambda: evaluate_features(*million, PROTOCOLS),
        lambda: product(*million[:2]),
        what=f"evaluation of {QUERIES:,} x {GALLERY:,}, D = {CHANNELS}, by {SAMPLE:,} of the queries",
        limit="the bare matrix product",
        target=1.4,
        rounds=2,
        note=RANKING,
    )
    benchmark.extra_info["measured"] += f"; all queries: {seconds * QUERIES / SAMPLE / 60:.0f} min"


def test_million_memory(benchmark: Any, million: Case) -> None:
    """What is allocated for one block, which is all that there is at a time; the memory map is not counted."""
    query, gallery, pids, camids, other_pids, other_camids = million
    block = query[:BLOCK], gallery, pids[:BLOCK], camids[:BLOCK], other_pids, other_camids
    tracemalloc.start()
    benchmark.pedantic(lambda: evaluate_features(*block, PROTOCOLS))
    peak = tracemalloc.get_traced_memory()[1] / 2**30
    tracemalloc.stop()
    note_row(benchmark, "the same: memory beside the memory-mapped features", "", peak, 4, unit="GiB")

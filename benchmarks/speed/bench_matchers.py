"""Snippet similarity between tracklets as long as MARS's, compared with the matrix products that it needs."""

from typing import Any

import numpy as np
import torch

from baselines import MATCHERS
from benchmarks.evaluation.distances import PairwiseDistances

from .comparison import compare

QUERIES, GALLERY, CHANNELS = 128, 4096, 2048  # a share of MARS's 1,980 x 9,330; the time per pair is the same
FRAMES, SPREAD = 45, 0.75  # median and log-normal spread of the lengths, whose mean is MARS's: 59


def test_snippet_similarity(benchmark: Any) -> None:
    matcher = MATCHERS.get("cssa")()
    draw = np.random.default_rng(0)

    def describe(count: int) -> list[torch.Tensor]:
        lengths = (FRAMES * draw.lognormal(sigma=SPREAD, size=count)).astype(int).clip(2, 920)
        frames = (torch.from_numpy(draw.standard_normal((length, CHANNELS), np.float32)) for length in lengths)
        return [matcher.describe(each, None, each[0]) for each in frames]

    queries, gallery = describe(QUERIES), describe(GALLERY)
    distances = PairwiseDistances(matcher, queries, gallery)
    windows, others = torch.cat(queries), torch.cat(gallery)

    def products() -> None:
        for part in others.split(4096):
            windows @ part.T

    compare(
        benchmark,
        lambda: list(distances.blocks(np.arange(GALLERY))),
        products,
        what=f"snippet similarity (cssa) of tracklets as long as MARS's, {QUERIES} x {GALLERY}",
        limit="the matrix products of their windows",
        target=1.5,
        rounds=3,
        note="one product for each length of tracklets, the norms of windows, and the choice of the smallest distances",
    )

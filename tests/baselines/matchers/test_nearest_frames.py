"""Distances of the nearest frames compared with scipy's over all pairs."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from baselines import MATCHERS


@pytest.fixture
def matcher():
    return MATCHERS.get("nearest-frames")()


def draw_tracklets(lengths, seed=0, dims=5):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(length, dims)), dtype=torch.float32) for length in lengths]


@pytest.mark.parametrize("k", [1, 3, 50])  # 50: more than some tracklets have pairs
def test_distances(matcher, k):
    matcher.k = k
    query, *gallery = (
        matcher.describe(frames, None, frames.mean(dim=0)) for frames in draw_tracklets([4, 1, 7, 3, 30])
    )
    distances = matcher.compare(query, matcher.stack(gallery))
    expected = [np.sort(cdist(query, frames), axis=None)[:k].mean() for frames in gallery]
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_shared_frame(matcher):
    one, other, third = draw_tracklets([6, 8, 5])
    other[3] = one[2]
    distances = matcher.compare(one, matcher.stack([third, other]))
    assert distances[1] < 1e-2 < distances[0]

"""Snippet similarity against a brute force over all pairs of windows, and what it is for."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from baselines import MATCHERS


@pytest.fixture
def matcher():
    return MATCHERS.get("cssa")()


def draw_tracklets(lengths, seed=0, dims=5):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(length, dims)), dtype=torch.float32) for length in lengths]


def windows(frames, weights=None):
    """The means of frames 0 to 7, 4 to 11, ...; a short tracklet is extended by its last frame."""
    frames = frames.double().numpy()
    weights = np.ones_like(frames) if weights is None else weights.double().numpy()
    numbers = [*range(len(frames)), *[len(frames) - 1] * (8 - len(frames))]
    starts = range(0, len(numbers) - 7, 4)
    return np.stack([np.average(frames[numbers[at : at + 8]], 0, weights[numbers[at : at + 8]]) for at in starts])


def described(matcher, tracklets):
    return [matcher.describe(frames, None, frames.mean(dim=0)) for frames in tracklets]


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_windows(matcher, blocks):
    for length in (1, 7, 8, 11, 12, 30):
        (frames,) = draw_tracklets([length])
        shape = (length, blocks) if blocks else (length,)
        weights = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        found = matcher.describe(frames, weights, frames[0])
        np.testing.assert_allclose(found, windows(frames, weights.view(length, -1).expand(-1, 5)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(matcher.describe(frames, None, frames[0]), windows(frames), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("query", [5, 16, 40])
def test_distances(matcher, query):
    query, *gallery = draw_tracklets([query, 30, 8, 3, 31, 12, 70])
    one, *others = described(matcher, [query, *gallery])
    expected = []
    for frames in gallery:
        pairs = cdist(windows(query), windows(frames)).ravel()
        expected.append(pairs[pairs <= np.percentile(pairs, 20)].mean())
    np.testing.assert_allclose(matcher.compare(one, matcher.stack(others)), expected, rtol=1e-4)


def test_all_pairs(matcher):
    matcher.percent = 100
    one, *others = described(matcher, draw_tracklets([20, 30, 8]))
    expected = [cdist(one, other).mean() for other in others]
    np.testing.assert_allclose(matcher.compare(one, matcher.stack(others)), expected, rtol=1e-5)


def test_copies_of_a_window_leave_the_minimum(matcher):
    """Of the smallest distance alone: a tracklet that shows the same windows again is no nearer and no farther."""
    matcher.percent = 0
    query, frames = draw_tracklets([20, 16])
    one, other = described(matcher, [query, frames])
    twice = torch.cat([other, other])
    torch.testing.assert_close(
        matcher.compare(one, [*matcher.stack([twice])]), matcher.compare(one, matcher.stack([other]))
    )
    assert matcher.compare(one, matcher.stack([other]))[0] == pytest.approx(cdist(one, other).min(), rel=1e-4)


def test_one_window_each(matcher):
    one, other = described(matcher, draw_tracklets([8, 3]))
    torch.testing.assert_close(matcher.compare(one, matcher.stack([other]))[0], (one[0] - other[0]).norm())


def test_windows_of_another_person(matcher):
    """A gallery tracklet that goes on with another person keeps its distance, while its mean moves away."""
    (noise,) = draw_tracklets([80])
    query, own, stranger = noise[:24] + 3, noise[24:56] + 3, noise[56:] - 3
    longer = torch.cat([own, stranger])
    one, *others = described(matcher, [query, own, longer])
    matched = matcher.compare(one, matcher.stack(others))
    means = [float((query.mean(dim=0) - frames.mean(dim=0)).norm()) for frames in (own, longer)]
    assert matched[1] - matched[0] < 0.1 * (means[1] - means[0])

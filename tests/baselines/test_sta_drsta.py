"""STA and DRSTA: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips

from .aggregation_models import LABELS, build, clips

# STA


def energies(steps: int = 3, height: int = 16) -> torch.Tensor:
    """Maps (2, T, 8, h, 4) of a double precision network."""
    return torch.randn(2, steps, 8, height, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.mark.parametrize("height", [16, 6, 2])  # which 4 stripes divide, share and more than cover
def test_sta_scores(height):
    from baselines.sta import scores, spread, stripe_means

    energy = spread(energies(height=height))
    found = scores(energy, 4)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, 4))
    # The stripes by hand, as areas: cell (h, w) covers the rows h to h + 1.
    shares = torch.zeros(2, 3, 4)
    for stripe in range(4):
        top, bottom = stripe * height / 4, (stripe + 1) * height / 4
        for row in range(height):
            covered = max(0.0, min(bottom, row + 1) - max(top, row))
            shares[..., stripe] += covered * energy[:, :, row].sum(dim=2)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, 3))
    torch.testing.assert_close(stripe_means(energy, 4) * height, shares)
    torch.testing.assert_close(found, shares / shares.sum(dim=1, keepdim=True))


def test_sta_of_one_stripe_is_the_mean():
    from baselines.sta import fuse, scores, spread

    found = scores(spread(energies()), 1)
    torch.testing.assert_close(found, torch.full((2, 3, 1), 1 / 3))
    stripes = torch.randn(2, 3, 1, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fuse(stripes, found)[1], stripes.mean(dim=1))


def test_sta_ignores_the_scale_of_a_frame():
    from baselines.sta import scores, spread

    maps = energies()
    brighter = maps.clone()
    brighter[:, 1] *= 5
    torch.testing.assert_close(scores(spread(brighter), 4), scores(spread(maps), 4))


def test_sta_follows_energy_between_stripes():
    from baselines.sta import scores

    energy = torch.full((1, 2, 8, 4), 1 / 32)
    moved = energy.clone()
    moved[0, 0, 0] -= 1 / 64
    moved[0, 0, 7] += 1 / 64
    before, after = scores(energy, 4), scores(moved, 4)
    assert after[0, 0, 3] > before[0, 0, 3]
    assert after[0, 0, 0] < before[0, 0, 0]
    torch.testing.assert_close(after[:, :, 1:3], before[:, :, 1:3])


def test_sta_takes_each_stripe_from_its_best_frame():
    from baselines.sta import fuse

    stripes = torch.arange(24.0).view(1, 3, 4, 2)
    scores = torch.tensor([[[0.6, 0.1, 0.2, 0.3], [0.3, 0.1, 0.5, 0.3], [0.1, 0.8, 0.3, 0.4]]])
    best, average = fuse(stripes, scores)
    assert best.tolist() == [[[0, 1], [18, 19], [12, 13], [22, 23]]]
    assert average[0, 0].tolist() == pytest.approx([0.3 * 8 + 0.1 * 16, 0.6 * 1 + 0.3 * 9 + 0.1 * 17])


@torch.no_grad()
def test_sta_of_equal_frames():
    model, frames = build("sta"), clips(steps=1).expand(-1, 3, -1, -1, -1)
    features = model(Clips(frames))
    best, average = features.coherence.chunk(2, dim=1)
    torch.testing.assert_close(best, average)
    torch.testing.assert_close(best, model.embed(frames).mean(dim=1))
    assert model.losses(features, LABELS)["inter_frame"] < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_sta_inter_frame_loss(steps):
    from baselines.sta import inter_frame_distance, spread

    energy = spread(energies(steps)).flatten(2)
    pairs = [(b, i, j) for b in range(2) for i in range(steps) for j in range(steps) if i != j]
    expected = sum(float((energy[b, i] - energy[b, j]).square().sum().sqrt()) for b, i, j in pairs) / max(1, len(pairs))
    assert float(inter_frame_distance(energy)) == pytest.approx(expected, rel=1e-5)


# DRSTA


def logarithms(*maps: list[float]) -> torch.Tensor:
    return torch.tensor(maps).log()


def test_drsta_overlap():
    from baselines.drsta import overlap

    disjoint = logarithms([1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1])
    equal = logarithms(*[[0.25] * 4] * 3)
    assert float(overlap(disjoint)) == 0
    assert float(overlap(equal)) == pytest.approx(6**0.5)
    # The Bhattacharyya coefficient of the two, twice: beside the diagonal.
    halves = logarithms([0.5, 0.5, 0, 0], [0, 0.9, 0.1, 0])
    assert float(overlap(halves)) == pytest.approx((2 * 0.5 * 0.9) ** 0.5)
    assert overlap(torch.randn(5, 1, 7).log_softmax(dim=2)).tolist() == [0] * 5  # one part has none to overlap with


@torch.no_grad()
def test_drsta_maps_and_loss():
    model = build("drsta")
    features, twice = model(Clips(clips())), model(Clips(clips().repeat(2, 1, 1, 1, 1)))
    maps = features.extras["attention"].exp()
    torch.testing.assert_close(maps.sum(dim=3), torch.ones(2, 4, 6))
    one, other = (model.losses(each, LABELS)["diversity"] for each in (features, twice))
    torch.testing.assert_close(one, other)
    expected = [
        (torch.einsum("kc,lc->kl", each.sqrt(), each.sqrt()) - torch.eye(6)).norm() for each in maps.flatten(0, 1)
    ]
    torch.testing.assert_close(one, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


def test_drsta_loss_parts_the_maps():
    from baselines.drsta import overlap

    torch.manual_seed(0)
    model, maps = BASELINES.get("drsta")(build_backbone("small", "none")[0]).train(), torch.randn(8, 256, 8, 4)
    optimizer = torch.optim.Adam(model.attention.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = overlap(model.attention(maps).flatten(2).log_softmax(dim=2)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_drsta_gradient_where_a_map_vanishes():
    from baselines.drsta import overlap

    scores = torch.tensor([[0.0, -200.0], [0.0, 0.0]], requires_grad=True)
    overlap(scores.log_softmax(dim=1)).backward()
    assert scores.grad.isfinite().all()


@torch.no_grad()
def test_drsta_weighs_each_part_by_itself():
    model = build("drsta")
    features = model(Clips(clips()))
    parts = features.frames.unflatten(2, (6, 128))
    torch.testing.assert_close(parts.norm(dim=3), torch.ones(2, 4, 6))
    shares = torch.einsum("btkd,kd->btk", parts, model.score).softmax(dim=1)
    expected = torch.einsum("btk,btkd->bkd", shares, parts).flatten(1)
    torch.testing.assert_close(features.coherence, expected, rtol=1e-4, atol=1e-5)

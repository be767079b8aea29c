"""All published systems that aggregate frames; and QAN and RQEN, which weigh frames by their quality."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips

from .aggregation_models import build, clips, loss_terms, prepared, trained

SYSTEMS = ("adfdta", "astpn", "case", "drsta", "qan", "qan-grid", "rqen", "sta")
READS_ORDER = ("astpn",)


@pytest.mark.parametrize("name", SYSTEMS)
def test_loss_with_afa_reaches_every_parameter(name):
    model = trained(f"{name}+afa", "sigma=0.5")
    terms = loss_terms(model)
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", sorted({*SYSTEMS} - {*READS_ORDER}))
@torch.no_grad()
def test_equal_frames_are_one_frame(name):
    model, frames = build(name), clips(steps=1)
    one, many = model(Clips(frames)), model(Clips(frames.expand(-1, 5, -1, -1, -1)))
    torch.testing.assert_close(many.coherence, one.coherence, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(many.frames, one.frames.expand(-1, 5, -1), rtol=1e-4, atol=1e-5)


def test_who_reads_order():
    assert tuple(name for name in SYSTEMS if getattr(BASELINES.get(name), "reads_order", False)) == READS_ORDER


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_order_of_frames(name):
    model, frames, order = build(name), clips(), torch.tensor([2, 0, 3, 1])
    features, permuted = model(Clips(frames)), model(Clips(frames[:, order]))
    if name in READS_ORDER:
        assert not torch.allclose(permuted.coherence, features.coherence, rtol=1e-3, atol=1e-4)
        return
    torch.testing.assert_close(permuted.coherence, features.coherence, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(permuted.frames, features.frames[:, order], rtol=1e-4, atol=1e-5)
    if features.weights is not None:
        assert features.weights.std(dim=1).amax(dim=-1).min() > 1e-4  # or the next line would compare equal numbers
        torch.testing.assert_close(permuted.weights, features.weights[:, order], rtol=1e-4, atol=1e-5)


# QAN


def test_quality_gradient():
    """Raising a frame's score moves the coherence towards that frame: d X_C / d w_i = (X_i - X_C) / sum w."""
    features = build("qan-grid")(Clips(clips()))
    direction = torch.randn(features.coherence.shape, generator=torch.Generator().manual_seed(3))
    (found,) = torch.autograd.grad((features.coherence * direction).sum(), features.weights)
    expected = (features.motion * direction[:, None]).sum(dim=2) / features.weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["qan", "qan-grid", "rqen"])
def test_quality_learns_nothing_from_frames_classified_alone(name):
    def gradient(classification: str) -> torch.Tensor:
        model = trained(name, f"classification={classification}")
        loss_terms(model)["loss_class"].backward()
        return model.baseline.quality.weight.grad

    assert gradient("frames").abs().max() < 1e-8
    assert gradient("pooled").abs().max() > 1e-5


@pytest.mark.parametrize(("name", "sees_place"), [("qan", False), ("qan-grid", True)])
@torch.no_grad()
def test_grid_sees_place(name, sees_place, monkeypatch):
    model, (middle, last) = build(name), build(name).backbone.maps(clips().flatten(0, 1))

    def weights(rows: int) -> torch.Tensor:
        monkeypatch.setattr(model.backbone, "maps", lambda *_: (middle.roll(rows, dims=2), last))
        return model(Clips(clips())).weights

    assert torch.allclose(weights(0), weights(2), rtol=1e-4) != sees_place


# RQEN


@pytest.mark.parametrize(("height", "rows"), [(16, [7, 4, 5]), (7, [3, 2, 2]), (8, [3, 3, 2]), (2, [1, 1, 1])])
def test_rqen_regions(height, rows):
    regions = build("rqen").regions(torch.arange(height).view(1, 1, height, 1))
    assert [region.shape[2] for region in regions] == rows
    if sum(rows) == height:
        assert torch.cat(regions, dim=2).flatten().tolist() == list(range(height))


@torch.no_grad()
def test_rqen_weighs_each_region_by_itself():
    model = build("rqen")
    together = model(Clips(clips()))
    alone = [model(Clips(clips()[:, step : step + 1])) for step in range(4)]
    weights = torch.cat([each.weights for each in alone], dim=1)  # (B, T, 3)
    shares = weights / weights.sum(dim=1, keepdim=True)
    assert (shares[..., 0] - shares[..., 2]).abs().max() > 1e-3
    for region, block in enumerate(together.coherence.chunk(3, dim=1)):
        frames = torch.cat([each.frames.chunk(3, dim=2)[region] for each in alone], dim=1)
        torch.testing.assert_close(block, torch.einsum("bt,btd->bd", shares[..., region], frames), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_rqen_swapped_legs_leave_the_head():
    """With scores from the top of the frame, legs that change places between two frames move the lower region alone."""
    model, frames = build("rqen"), clips()
    cells = model.quality.weight.unflatten(1, (-1, 4, 2))  # of the grid's four rows keep the first
    cells[:, :, 1:] = 0
    swapped = frames.clone()
    swapped[:, [0, 1], :, 48:] = frames[:, [1, 0], :, 48:]
    before, after = (model(Clips(each)).coherence.chunk(3, dim=1) for each in (frames, swapped))
    torch.testing.assert_close(after[0], before[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after[2], before[2], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_rqen_of_one_region_is_qan_grid():
    from baselines.rqen import RegionQuality

    class OneRegion(RegionQuality):
        cuts = (0, 1)

    one, qan = prepared(OneRegion), build("qan-grid")
    assert torch.equal(one(Clips(clips())).coherence, qan(Clips(clips())).coherence)

"""The published systems that aggregate frames: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import resolve

SYSTEMS = ("adfdta", "astpn", "case", "drsta", "qan", "qan-grid", "rqen", "sta")
READS_ORDER = ("astpn",)
LABELS = torch.tensor([0, 0, 1, 1])
ATTRIBUTES = torch.tensor([[0, 1], [1, 0]])  # of two classes


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """The model with random numbers in the place of heads that start at zero, so that its weights differ."""
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3, generator=draw)
    return model


def prepared(kind: type) -> torch.nn.Module:
    """A model for evaluation: with weights that differ, and the statistics of a batch in its batch normalisations."""
    torch.manual_seed(0)
    model = kind(build_backbone("small", "none")[0])
    if model.uses_attributes:
        model.add_attributes(ATTRIBUTES)
    randomised(model).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model(Clips(clips(8, seed=9)))
    return model.eval()


def build(name: str) -> torch.nn.Module:
    return prepared(BASELINES.get(name))


def clips(batch: int = 2, steps: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, steps, 3, 64, 32, generator=torch.Generator().manual_seed(seed))


def trained(method: str, *changes: str) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=4", *changes])
    model = build_model(method, 2, settings, seed=0, attributes=ATTRIBUTES)[0].train()
    randomised(model.baseline)
    return model


def loss_terms(model: ReidModel) -> dict[str, torch.Tensor]:
    frames = torch.randint(0, 256, (4, 4, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return model(frames, LABELS, mode="loss")


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


# ASTPN


def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The states of two sequences, (2, 5, 16) and (2, 7, 16), and a matrix (16, 16)."""
    draw = torch.Generator().manual_seed(5)
    probe, gallery, matching = (torch.randn(*shape, generator=draw) for shape in ((2, 5, 16), (2, 7, 16), (16, 16)))
    return probe, gallery, 0.1 * matching


def test_astpn_swapped_pair():
    from baselines.astpn import attend

    probe, gallery, matching = pair()
    one, other = attend(probe, gallery, matching)
    swapped = attend(gallery, probe, matching.T)
    torch.testing.assert_close(swapped, (other, one))


def test_astpn_order_of_the_probe():
    from afa import disentangle
    from baselines.astpn import attend

    probe, gallery, matching = pair()
    vectors = [
        [disentangle(*side).coherence for side in zip((each, gallery), attend(each, gallery, matching), strict=True)]
        for each in (probe, probe[:, [3, 1, 4, 0, 2]])
    ]
    torch.testing.assert_close(vectors[1], vectors[0])


def test_astpn_partner_matters():
    from baselines.astpn import attend

    probe, gallery, matching = pair()
    alone, together = (attend(probe, each, matching)[0] for each in (probe, gallery))
    assert not torch.allclose(alone, together, rtol=0.01)


def test_astpn_weights_are_bounded():
    from baselines.astpn import attend

    probe, gallery, matching = pair()
    for weights in attend(100 * probe, gallery, matching):
        assert (weights.amax(dim=1) / weights.amin(dim=1)).max() <= torch.e**2 * (1 + 1e-6)


def test_astpn_frame_without_a_match_loses_weight():
    from baselines.astpn import attend

    directions = torch.eye(4)
    probe, gallery = directions[None, [0, 1, 3]], directions[None, [1, 0, 0, 2]]
    weights, _ = attend(probe, gallery, torch.eye(4))
    torch.testing.assert_close(weights[0], torch.tensor([1.0, 1.0, 0.0]).tanh().exp())


@torch.no_grad()
def test_astpn_recurrence():
    """The states against torch's own recurrent layer: tanh(s_t) is what an Elman network of r_t = W x_t + b has."""
    model = build("astpn")
    features, alone = model(Clips(clips())), [model(Clips(clips()[:, step : step + 1])) for step in range(4)]
    linear = model.recurrence[2]
    inputs = torch.cat([each.frames for each in alone], dim=1) - linear.bias  # a clip of one frame has s_1 = r_1 + b
    elman = torch.nn.RNN(128, 128, batch_first=True)
    elman.weight_ih_l0.copy_(torch.eye(128))
    elman.weight_hh_l0.copy_(linear.weight)
    elman.bias_ih_l0.zero_()
    elman.bias_hh_l0.copy_(linear.bias)
    torch.testing.assert_close(features.frames.tanh(), elman(inputs)[0], rtol=1e-4, atol=1e-5)
    scores = torch.einsum("btd,de,bse->bts", features.frames, model.matching, features.frames).tanh().amax(dim=2)
    expected = torch.einsum("bt,btd->bd", scores.softmax(dim=1), features.frames)
    torch.testing.assert_close(features.coherence, expected, rtol=1e-4, atol=1e-5)


# CASE


@torch.no_grad()
def test_case_self_pooling():
    model = build("case")
    features = model(Clips(clips()))
    torch.testing.assert_close(features.frames.norm(dim=2), torch.ones(2, 4))
    alone = model.embed(clips()).flatten(0, 1)
    query, keys = (layers(alone).unflatten(0, (2, 4)) for layers in (model.query, model.key))
    shares = (query.mean(dim=1, keepdim=True) * keys).softmax(dim=1)  # of each channel
    assert features.weights.shape == (2, 4, 128)
    torch.testing.assert_close(
        features.weights / features.weights.sum(dim=1, keepdim=True), shares, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(features.coherence, (shares * features.frames).sum(dim=1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_case_without_a_query_is_the_mean():
    model = build("case")
    model.query[1].weight.zero_()
    features = model(Clips(clips()))
    torch.testing.assert_close(features.coherence, features.frames.mean(dim=1))


def verification() -> torch.nn.Module:
    """A head in which no number is special."""
    head, draw = build("case").verification, torch.Generator().manual_seed(6)
    for tensor in (*head.parameters(), head.norm.running_mean):
        tensor.data.normal_(0, 0.3, generator=draw)
    head.norm.running_var.uniform_(0.5, 2, generator=draw)
    return head


@torch.no_grad()
def test_case_distance_is_the_probability_of_the_head():
    from baselines.case import VerifiedSnippets

    head, draw = verification(), torch.Generator().manual_seed(7)
    query, gallery = (0.3 * torch.randn(count, 128, generator=draw) for count in (3, 5))
    found = VerifiedSnippets(head).between(query, gallery)
    logits = head(query.repeat_interleave(5, 0), gallery.repeat(3, 1))
    assert found.std() > 0.01
    torch.testing.assert_close(found, logits.softmax(dim=1)[:, 0].view(3, 5), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_case_compares_symmetrically():
    from baselines.case import VerifiedSnippets

    matcher, draw = VerifiedSnippets(verification()), torch.Generator().manual_seed(8)
    tracklets = [0.3 * torch.randn(length, 128, generator=draw) for length in (5, 20, 33)]
    described = [matcher.describe(frames, None, frames[0]) for frames in tracklets]
    distances = torch.stack([matcher.compare(each, matcher.stack(described)) for each in described])
    torch.testing.assert_close(distances, distances.T)


@torch.no_grad()
def test_case_loss_over_all_pairs():
    model = build("case")
    model.verification.load_state_dict(verification().state_dict())
    labels = torch.tensor([0, 0, 0, 1, 2])
    features = model(Clips(clips(5)))
    coherence = features.coherence
    pairs = [(i, j) for i in range(5) for j in range(i)]
    positives = sum(bool(labels[i] == labels[j]) for i, j in pairs)
    total = norm = 0.0
    for i, j in pairs:
        same = bool(labels[i] == labels[j])
        probability = model.verification(coherence[i, None], coherence[j, None]).softmax(dim=1)[0, int(same)]
        weight = 1 if same else 3 * positives / (len(pairs) - positives)
        total, norm = total - weight * float(probability.log()), norm + weight
    found = model.losses(features, labels)["verification"]
    assert float(found) == pytest.approx(10 * total / norm, rel=1e-4)


def test_case_loss_of_two_clips():
    """The last batch of an epoch may hold one person, and no negative pair."""
    model = build("case").train()
    loss = model.losses(model(Clips(clips(2))), torch.tensor([5, 5]))["verification"]
    loss.backward()
    assert loss.isfinite()
    assert model.verification.linear.bias.grad.isfinite().all()


def test_case_brings_its_matcher():
    from baselines.case import VerifiedSnippets

    model = build("case")
    assert isinstance(model.matcher, VerifiedSnippets)
    assert model.matcher.verification is model.verification

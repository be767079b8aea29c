"""ASTPN and CASE: each does what only a right implementation of it does."""

import pytest
import torch

from baselines.interface import Clips

from .aggregation_models import build, clips

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

"""The terms of Eq. 6-11 against float64 references written out term by term."""

import math
import re
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck

from afa import (
    VideoFeatures,
    afa_loss,
    batch_hard_soft_margin_triplet,
    coherence_constraint,
    disentangle,
    frame_consensus_cross_entropy,
)
from afa.losses import batch_hard_triplet

LABELS = torch.tensor([0, 0, 1, 1, 2])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def consensus_by_hand(logits: torch.Tensor, labels: torch.Tensor) -> float:
    total = 0.0
    for clip, label in zip(logits.tolist(), labels.tolist(), strict=True):
        probability = 0.0
        for frame in clip:
            probability += math.exp(frame[label]) / sum(math.exp(score) for score in frame)
        total -= math.log(probability / len(clip))
    return total / len(logits)


def triplet_by_hand(features: torch.Tensor, labels: torch.Tensor) -> float:
    rows, names = features.tolist(), labels.tolist()
    total = 0.0
    for i, anchor in enumerate(rows):
        distances = [math.dist(anchor, other) for other in rows]
        positive = max(d for d, name in zip(distances, names, strict=True) if name == names[i])
        negative = min(d for d, name in zip(distances, names, strict=True) if name != names[i])
        total += math.log1p(math.exp(positive - negative))
    return total / len(rows)


def constraint_by_hand(motion: torch.Tensor) -> float:
    return sum(math.sqrt(sum(v * v for frame in clip for v in frame)) for clip in motion.tolist()) / len(motion)


def test_consensus_averages_probabilities():
    logits = random(5, 4, 3)
    assert frame_consensus_cross_entropy(logits, LABELS).item() == pytest.approx(consensus_by_hand(logits, LABELS))


def test_consensus_of_one_frame():
    logits = random(5, 1, 3)
    torch.testing.assert_close(
        frame_consensus_cross_entropy(logits, LABELS), torch.nn.functional.cross_entropy(logits[:, 0], LABELS)
    )


def test_smoothed_consensus():
    logits = random(5, 4, 3)
    consensus = logits.softmax(dim=-1).mean(dim=1).log()
    expected = torch.nn.functional.cross_entropy(consensus, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(frame_consensus_cross_entropy(logits, LABELS, 0.1), expected)


def test_consensus_is_finite():
    logits = torch.tensor([[[0.0, 1000.0], [0.0, 2000.0]]], requires_grad=True)
    loss = frame_consensus_cross_entropy(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(1000 + math.log(2))  # the first frame's e^-1000 is all there is
    assert torch.isfinite(logits.grad).all()


def test_triplet_takes_hardest_pairs():
    features = random(5, 6)
    assert batch_hard_soft_margin_triplet(features, LABELS).item() == pytest.approx(triplet_by_hand(features, LABELS))


def test_triplet_by_hand():
    features, labels = torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([0, 0, 1])
    expected = (math.log1p(math.exp(3 - 1)) + math.log1p(math.exp(3 - 2)) + math.log1p(math.exp(0 - 1))) / 3
    assert batch_hard_soft_margin_triplet(features, labels).item() == pytest.approx(expected)
    assert batch_hard_triplet(features, labels, 0.3).item() == pytest.approx(((3 - 1 + 0.3) + (3 - 2 + 0.3) + 0) / 3)


def test_cosine_triplet_by_hand():
    # Directions of 0, 60 and 90 degrees; lengths must not count.
    features = torch.tensor([[2.0, 0.0], [0.5, 0.5 * math.sqrt(3)], [0.0, 7.0]])
    near, far = 1 - math.cos(math.radians(30)), 1 - math.cos(math.radians(60))
    differences = (far - 1, far - near, 0 - near)
    loss = batch_hard_triplet(features, torch.tensor([0, 0, 1]), 0.3, "cosine")
    assert loss.item() == pytest.approx(sum(max(0, each + 0.3) for each in differences) / 3)
    soft = batch_hard_soft_margin_triplet(features, torch.tensor([0, 0, 1]), "cosine")
    assert soft.item() == pytest.approx(sum(math.log1p(math.exp(each)) for each in differences) / 3)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 0, 1], [0, 1, 2]])
@pytest.mark.parametrize(
    "triplet",
    [
        batch_hard_soft_margin_triplet,
        partial(batch_hard_triplet, margin=0.3),
        partial(batch_hard_triplet, margin=0.3, distance="cosine"),
    ],
)
def test_triplet_gradients_are_finite(labels, triplet):
    features = torch.ones(3, 4, requires_grad=True)
    loss = triplet(features, torch.tensor(labels))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()


def test_triplet_ignores_clip_order():
    features, order = random(5, 6), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(
        batch_hard_soft_margin_triplet(features, LABELS), batch_hard_soft_margin_triplet(features[order], LABELS[order])
    )


def test_constraint_by_hand():
    motion = random(5, 4, 6)
    assert coherence_constraint(motion).item() == pytest.approx(constraint_by_hand(motion))
    squares = [v * v for clip in motion.tolist() for frame in clip for v in frame]
    assert coherence_constraint(motion, "mse").item() == pytest.approx(sum(squares) / len(squares))


def test_norms_differ_by_1200():
    motion = 0.1 * random(4, 7, 2048)
    assert coherence_constraint(motion).item() / coherence_constraint(motion, "mse").item() == pytest.approx(
        1200, rel=0.02
    )


@pytest.mark.parametrize("norm", ["l2", "mse"])
def test_constraint_gradient_is_finite(norm):
    motion = torch.zeros(2, 3, 4, requires_grad=True)
    coherence_constraint(motion, norm).backward()
    assert torch.equal(motion.grad, torch.zeros_like(motion))


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"^norm must be one of l2, mse, not 'l1'$"):
        coherence_constraint(torch.zeros(1, 1, 1), "l1")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: frame_consensus_cross_entropy(random(5, 3), LABELS), "logits must be (B, T, K), not (5, 3)"),
        (lambda: frame_consensus_cross_entropy(random(4, 2, 3), LABELS), "labels must be (B,) with B = 4, not (5,)"),
        (lambda: batch_hard_soft_margin_triplet(random(5, 4, 6), LABELS), "features must be (B, D), not (5, 4, 6)"),
        (lambda: batch_hard_triplet(random(3, 6), LABELS, 0.3), "labels must be (B,) with B = 3, not (5,)"),
        (lambda: coherence_constraint(random(5, 6)), "motion must be (B, T, D), not (5, 6)"),
        (
            lambda: afa_loss(random(5, 4, 3), LABELS, VideoFeatures(random(5, 6), random(5, 6))),
            "features.frames must be (B, T, D), not (5, 6)",
        ),
        (
            lambda: afa_loss(random(5, 3, 3), LABELS, disentangle(random(5, 4, 6))),
            "logits must be (B, T, K) with B = 5 and T = 4, not (5, 3, 3)",
        ),
        (
            lambda: afa_loss(random(5, 4, 3), LABELS, VideoFeatures(random(5, 4, 6), random(5, 1))),
            "features.coherence must be (B, D) with B = 5 and D = 6, not (5, 1)",
        ),
    ],
)
def test_a_wrong_shape_is_named_with_the_one_wanted(loss, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        loss()


def test_unknown_distance_is_refused():
    with pytest.raises(ValueError, match=r"^distance must be one of euclidean, cosine, not 'manhattan'$"):
        batch_hard_soft_margin_triplet(random(5, 6), LABELS, "manhattan")


def test_loss_is_eq_6():
    logits, features = random(5, 4, 3), disentangle(random(5, 4, 6, seed=1))
    expected = (
        consensus_by_hand(logits, LABELS)
        + triplet_by_hand(features.coherence, LABELS)
        + 0.3 * constraint_by_hand(features.motion)
    )
    assert afa_loss(logits, LABELS, features, coherence_weight=0.3).item() == pytest.approx(expected)


def test_gradcheck():
    assert gradcheck(lambda x: frame_consensus_cross_entropy(x, LABELS), (random(5, 4, 3).requires_grad_(),))
    assert gradcheck(lambda x: batch_hard_soft_margin_triplet(x, LABELS), (random(5, 6).requires_grad_(),))
    assert gradcheck(lambda x: coherence_constraint(x, "l2"), (random(5, 4, 6).requires_grad_(),))
    assert gradcheck(lambda x: coherence_constraint(x, "mse"), (random(5, 4, 6).requires_grad_(),))


def test_constraint_in_the_loss_has_the_papers_weight_and_the_given_norm():
    logits, features = random(5, 4, 3), disentangle(random(5, 4, 6, seed=1))
    others = afa_loss(logits, LABELS, features, coherence_weight=0.0).item()
    assert afa_loss(logits, LABELS, features).item() - others == pytest.approx(
        0.1 * constraint_by_hand(features.motion)
    )
    squares = features.motion.square().mean().item()
    assert afa_loss(logits, LABELS, features, norm="mse").item() - others == pytest.approx(0.1 * squares)


def test_distances_of_many_features_far_from_the_origin():
    """From 26 rows on, torch's own choice computes them from products, which lose the digits of small differences."""
    features = (1000 + 0.1 * random(32, 8)).float()
    labels = torch.arange(32) // 2
    expected = triplet_by_hand(features.double(), labels)
    assert batch_hard_soft_margin_triplet(features, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 0, 0, 0]])
def test_batch_without_a_triplet_is_refused(labels):
    clips = torch.randn(4, 3, 6)
    with pytest.raises(ValueError, match="two identities, and two clips of one"):
        afa_loss(torch.randn(4, 3, 5), torch.tensor(labels), disentangle(clips))

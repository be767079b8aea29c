"""disentangle(): the mean of Eq. 2, weighted means, and merging of chunks."""

import re

import pytest
import torch

from afa import disentangle
from afa.features import weighted_mean


def test_coherence_and_motion_by_hand():
    features = disentangle(torch.tensor([[[1.0, 0.0], [3.0, 4.0]]]))
    assert features.coherence.tolist() == [[2.0, 2.0]]
    assert features.motion.tolist() == [[[-1.0, -2.0], [1.0, 2.0]]]
    assert features.weights is None


def test_weighted_coherence_by_hand():
    features = disentangle(torch.tensor([[[1.0], [4.0]]]), torch.tensor([[1.0, 3.0]]))
    assert features.coherence.tolist() == [[(1 * 1 + 3 * 4) / 4]]
    assert features.weights is not None
    assert features.weights.tolist() == [[1.0, 3.0]]


def test_one_frame_has_no_motion():
    frames = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(disentangle(frames).motion, torch.zeros_like(frames))


def test_order_of_frames_does_not_matter():
    generator = torch.Generator().manual_seed(1)
    frames, weights = torch.randn(2, 7, 5, generator=generator).double(), torch.rand(2, 7, generator=generator).double()
    order = torch.randperm(7, generator=generator)
    torch.testing.assert_close(disentangle(frames).coherence, disentangle(frames[:, order]).coherence)
    torch.testing.assert_close(
        disentangle(frames, weights).coherence, disentangle(frames[:, order], weights[:, order]).coherence
    )


def test_chunks_merge_by_weight():
    generator = torch.Generator().manual_seed(2)
    frames, weights = (
        torch.randn(1, 11, 6, generator=generator).double(),
        torch.rand(1, 11, generator=generator).double(),
    )
    whole = disentangle(frames, weights).coherence
    parts = [disentangle(frames[:, a:b], weights[:, a:b]) for a, b in [(0, 4), (4, 9), (9, 11)]]
    sums = torch.stack([part.weights.sum() for part in parts if part.weights is not None])
    merged = (torch.stack([part.coherence for part in parts]) * sums[:, None, None]).sum(0) / sums.sum()
    torch.testing.assert_close(merged, whole)


def test_block_weights_by_hand():
    frames = torch.tensor([[[1.0, 1.0, 10.0, 20.0], [5.0, 9.0, 30.0, 40.0]]])
    weights = torch.tensor([[[3.0, 1.0], [1.0, 1.0]]])  # the first two channels by 3 to 1, the others alike
    features = disentangle(frames, weights)
    assert features.coherence.tolist() == [[2.0, 3.0, 20.0, 30.0]]
    assert features.motion.tolist() == [[[-1.0, -2.0, -10.0, -10.0], [3.0, 6.0, 10.0, 10.0]]]


def test_equal_blocks_are_one_weight():
    generator = torch.Generator().manual_seed(3)
    frames, weights = torch.randn(2, 5, 6, generator=generator), torch.rand(2, 5, generator=generator)
    blocks = weights.unsqueeze(-1).expand(-1, -1, 3)
    torch.testing.assert_close(disentangle(frames, blocks).coherence, disentangle(frames, weights).coherence)


def test_blocks_are_independent():
    generator = torch.Generator().manual_seed(4)
    frames, weights = torch.randn(1, 4, 6, generator=generator), torch.rand(1, 4, 3, generator=generator)
    other = weights.clone()
    other[:, :, 1] = torch.rand(1, 4, generator=generator)
    moved = (disentangle(frames, other).coherence - disentangle(frames, weights).coherence)[0] != 0
    assert moved.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("frames", "weights", "message"),
    [
        ((2, 6), None, "frames must be (B, T, D), not (2, 6)"),
        ((2, 5, 6), (2, 4), "weights must be (B, T) or (B, T, G) with B = 2 and T = 5, not (2, 4)"),
        ((2, 5, 6), (2, 5, 4), "weights must be (B, T, G) where G divides D = 6, not (2, 5, 4)"),
        ((2, 5, 6), (2, 5, 2, 1), "must be (B, T) or (B, T, G)"),
    ],
)
def test_wrong_shapes_are_refused(frames, weights, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        disentangle(torch.zeros(frames), torch.ones(weights) if weights else None)


@pytest.mark.parametrize("weights", [None, torch.ones(2, 3)])
def test_extras_are_kept(weights):
    extras = {"map": torch.arange(2)}
    assert disentangle(torch.ones(2, 3, 4), weights, extras).extras is extras
    assert disentangle(torch.ones(2, 3, 4), weights).extras == {}


def test_weighted_mean_names_a_wrong_shape():
    with pytest.raises(ValueError, match=re.escape("frames must be (B, T, D), not (2, 6)")):
        weighted_mean(torch.zeros(2, 6), torch.ones(2, 6))

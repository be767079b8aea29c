"""AdversarialFeatureAugmentation: Eq. 4-5, section 4.3's opposite, and the properties that must hold."""

import re

import pytest
import torch

from afa import AdversarialFeatureAugmentation, VideoFeatures, disentangle


@pytest.fixture
def features() -> VideoFeatures:
    return disentangle(torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(0)).double())


def deltas(augmented: torch.Tensor, features: VideoFeatures, target: str) -> torch.Tensor:
    """Solve Eq. 4 for delta at every (clip, frame, channel)."""
    coherence, motion = features.coherence.unsqueeze(1).expand_as(features.frames), features.motion
    if target == "coherence":
        return (augmented - coherence) / motion
    return (augmented - motion) / coherence


@pytest.mark.parametrize("target", ["coherence", "motion"])
@pytest.mark.parametrize(("granularity", "distinct"), [("batch", 1), ("clip", 4), ("frame", 28)])
@pytest.mark.parametrize("sigma", [0.5, 1])
def test_granularity_of_delta(features, target, granularity, distinct, sigma):
    augment = AdversarialFeatureAugmentation(sigma, target, granularity)
    delta = deltas(augment(features, torch.Generator().manual_seed(3)), features, target)
    torch.testing.assert_close(delta, delta[..., :1].expand_as(delta), rtol=1e-6, atol=1e-6)
    assert len(torch.unique(delta[..., 0].round(decimals=6))) == distinct
    if granularity == "clip":
        torch.testing.assert_close(delta[:, :1], delta[:, 1:2], rtol=1e-6, atol=1e-6)


def test_delta_is_normal():
    frames = torch.randn(2000, 10, 1, generator=torch.Generator().manual_seed(0)).double()
    features = disentangle(frames)
    augment = AdversarialFeatureAugmentation(0.025, granularity="frame")
    delta = deltas(augment(features, torch.Generator().manual_seed(1)), features, "coherence").flatten()
    assert delta.mean().item() == pytest.approx(1.0, abs=4 * 0.025 / 20000**0.5)
    assert delta.std().item() == pytest.approx(0.025, rel=4 / (2 * 20000) ** 0.5)


@pytest.mark.parametrize("granularity", ["batch", "clip"])
def test_mean_over_time_is_unchanged(features, granularity):
    augmented = AdversarialFeatureAugmentation(5.0, granularity=granularity)(features)
    torch.testing.assert_close(augmented.mean(dim=1), features.coherence)
    assert not torch.allclose(augmented, features.frames)


@pytest.mark.parametrize("target", ["coherence", "motion"])
def test_sigma_zero_is_the_identity(features, target):
    assert torch.equal(AdversarialFeatureAugmentation(0.0, target)(features), features.frames)


@pytest.mark.parametrize("target", ["coherence", "motion"])
def test_evaluation_returns_the_coherence(features, target):
    augment = AdversarialFeatureAugmentation(0.5, target).eval()
    state = torch.get_rng_state()
    once = augment(features)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(once, features.coherence.unsqueeze(1).expand(4, 7, 5))


def test_generator_decides_delta(features):
    augment = AdversarialFeatureAugmentation(0.5)
    first, again, other = (augment(features, torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients(features):
    augment = AdversarialFeatureAugmentation(0.5)
    frames = features.frames.clone().requires_grad_()

    def run(x: torch.Tensor) -> torch.Tensor:
        return augment(disentangle(x), torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(run, (frames,))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sigma": -1.0}, "sigma must be at least 0, not -1.0"),
        ({"target": "both"}, "target must be one of coherence, motion, not 'both'"),
        ({"granularity": "epoch"}, "granularity must be one of batch, clip, frame, not 'epoch'"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AdversarialFeatureAugmentation(**wrong)


def test_delta_is_drawn_in_float32_and_added(features):
    augment = AdversarialFeatureAugmentation(granularity="clip")
    drawn = torch.randn(4, 1, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float32)
    expected = features.frames + (0.025 * drawn).double() * features.motion
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(augment(features, torch.Generator().manual_seed(5)), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_augmented_frames_keep_their_type(features):
    half = disentangle(features.frames.bfloat16())
    assert AdversarialFeatureAugmentation()(half).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("frames", "coherence", "message"),
    [
        ((2, 6), (2, 6), "features.frames must be (B, T, D), not (2, 6)"),
        ((2, 5, 6), (1, 6), "features.coherence must be (B, D) with B = 2 and D = 6, not (1, 6)"),
        ((2, 5, 6), (2, 1), "features.coherence must be (B, D) with B = 2 and D = 6, not (2, 1)"),
    ],
)
def test_wrong_shapes_are_refused(frames, coherence, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AdversarialFeatureAugmentation()(VideoFeatures(torch.zeros(frames), torch.zeros(coherence)))


@pytest.mark.parametrize("own", [True, False])
def test_delta_is_drawn_on_the_device_of_the_generator_or_else_of_the_frames(own):
    """A tensor on the device "meta" has no values, and nothing is drawn for it."""
    features = disentangle(torch.zeros(2, 3, 4, device="meta"))
    generator = torch.Generator() if own else torch.default_generator
    before = generator.get_state()
    augmented = AdversarialFeatureAugmentation()(features, generator if own else None)
    assert augmented.is_meta
    assert torch.equal(generator.get_state(), before) is not own

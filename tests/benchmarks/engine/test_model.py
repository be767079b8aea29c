"""The model's loss is the sum of the parts that are switched on; inputs are prepared on the device as promised."""

import re
from typing import ClassVar

import pytest
import torch
from torch.nn import functional as F

import afa
from afa import VideoFeatures, disentangle
from afa.losses import batch_hard_triplet
from baselines.backbones.build import build_backbone
from baselines.interface import Baseline, Clips, UserError
from baselines.interface.backbone import IMAGENET_MEAN as PIXEL_MEAN
from baselines.interface.backbone import IMAGENET_STD as PIXEL_STD
from benchmarks.engine.model import ReidModel, build_model, checked
from benchmarks.experiments.settings import resolve

LABELS = torch.tensor([0, 0, 1, 1])


def model(method: str = "mean", *changes: str) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=3", *changes])
    return build_model(method, 2, settings, seed=0)[0].train()


def features(weights: bool = False) -> afa.VideoFeatures:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(4, 3, 256, generator=generator)
    return afa.disentangle(frames, torch.rand(4, 3, generator=generator) if weights else None)


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_plain_baseline_loss():
    ours, given = model("mean"), features()
    terms = ours.losses(given, LABELS, draw())
    assert set(terms) == {"loss_triplet", "loss_class"}
    logits = F.batch_norm(given.coherence, None, None, training=True) @ ours.classifier.weight.T
    torch.testing.assert_close(terms["loss_class"], F.cross_entropy(logits, LABELS))
    torch.testing.assert_close(terms["loss_triplet"], afa.batch_hard_soft_margin_triplet(given.coherence, LABELS))


def test_margin_gives_hinge_loss():
    terms = model("mean", "margin=0.5").losses(features(), LABELS, draw())
    torch.testing.assert_close(terms["loss_triplet"], batch_hard_triplet(features().coherence, LABELS, 0.5))


def test_triplet_weight():
    once, half, off = (
        model("mean", f"triplet_weight={each}").losses(features(), LABELS, draw()) for each in (1, 0.5, 0)
    )
    torch.testing.assert_close(half["loss_triplet"], once["loss_triplet"] / 2)
    assert set(off) == {"loss_class"}


def test_no_loss_at_all_is_refused():
    with pytest.raises(UserError, match="triplet_weight=0 and classification=none"):
        model("mean", "triplet_weight=0", "classification=none").losses(features(), LABELS, draw())


def test_triplet_after_neck_by_cosine():
    changes = ("triplet_feature=after", "triplet_distance=cosine", "margin=0.3")
    given = features()
    normalised = F.batch_norm(given.coherence, None, None, training=True)
    expected = batch_hard_triplet(normalised, LABELS, 0.3, "cosine")
    torch.testing.assert_close(model("mean", *changes).losses(given, LABELS, draw())["loss_triplet"], expected)


@pytest.mark.parametrize(("method", "backbone"), [("mean", "small"), ("cnn3d", "small"), ("cnn3d", "r3d18")])
def test_maximum_over_the_image(method, backbone):
    """A frame's embedding is its map's mean or maximum in each channel."""
    clip = Clips(torch.randn(1, 3, 3, 32, 16, generator=draw()))
    for pooling in ("mean", "max"):
        settings = resolve("small", method, [f"backbone={backbone}", f"pooling={pooling}"])
        baseline = build_model(method, 2, settings, seed=0)[0].baseline.eval()
        with torch.no_grad():
            if baseline.backbone.video:
                maps = baseline.backbone(clip.frames.transpose(1, 2))[0].transpose(0, 1)
            else:
                maps = baseline.backbone(clip.frames[0], 3)
            rows = maps.flatten(2)
            expected = rows.sum(dim=2) / rows.shape[2] if pooling == "mean" else rows.sort(dim=2).values[..., -1]
            torch.testing.assert_close(baseline(clip).frames[0], expected)


def test_no_neck_and_label_smoothing():
    ours, given = model("mean", "neck=none", "label_smoothing=0.1"), features()
    logits = given.coherence @ ours.classifier.weight.T
    expected = F.cross_entropy(logits, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(ours.losses(given, LABELS, draw())["loss_class"], expected)


def test_dropout_setting():
    assert model("rnn").baseline.dropout.p == 0.6
    assert model("rnn", "dropout=0").baseline.dropout.p == 0


def test_afa_loss_is_eq_6():
    ours, given = model("mean+afa"), features()
    terms = ours.losses(given, LABELS, draw())
    augmented = afa.AdversarialFeatureAugmentation(0.025)(given, draw())
    logits = F.batch_norm(augmented.flatten(0, 1), None, None, training=True) @ ours.classifier.weight.T
    expected = afa.afa_loss(logits.unflatten(0, (4, 3)), LABELS, given, coherence_weight=0.1)
    torch.testing.assert_close(sum(terms.values()), expected)


def test_afa_motion_loss():
    ours, given = model("mean+afa-motion", "sigma=1"), features()
    terms = ours.losses(given, LABELS, draw())
    same = model("mean+afa", "sigma=1").losses(given, LABELS, draw())
    assert {name for name in terms if not torch.equal(terms[name], same[name])} == {"loss_class"}
    augmented = afa.AdversarialFeatureAugmentation(1.0, "motion")(given, draw())
    logits = F.batch_norm(augmented.flatten(0, 1), None, None, training=True) @ ours.classifier.weight.T
    expected = afa.frame_consensus_cross_entropy(logits.unflatten(0, (4, 3)), LABELS)
    torch.testing.assert_close(terms["loss_class"], expected)


@pytest.mark.parametrize("weights", [False, True])
def test_pooled_classification_ignores_motion_noise(weights):
    quiet, loud = model("mean"), model("mean", "sigma=3")
    given = features(weights)
    a, b = (each.losses(given, LABELS, draw())["loss_class"] for each in (quiet, loud))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_parts_can_be_disabled():
    assert set(model("mean", "classification=none").losses(features(), LABELS, draw())) == {"loss_triplet"}
    assert "loss_coherence" not in model("mean+afa", "lambda=0").losses(features(), LABELS, draw())
    constraint = model("mean+afa", "lambda=3", "coherence_norm=mse").losses(features(), LABELS, draw())[
        "loss_coherence"
    ]
    torch.testing.assert_close(constraint, 3 * features().motion.square().mean())


def test_normalise_flip_erase():
    frames = torch.randint(0, 256, (3, 2, 3, 32, 16), dtype=torch.uint8, generator=draw())
    flip = torch.tensor([True, False, False])
    erase = torch.tensor([[0, 0, 0, 0], [4, 2, 10, 8], [0, 0, 0, 0]])
    ours = model().prepare(frames, flip, erase)
    plain = (frames.float() / 255 - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)
    torch.testing.assert_close(ours[0], plain[0].flip(-1))
    assert (ours[1, :, :, 4:10, 2:8] == 0).all()
    untouched = torch.ones(32, 16, dtype=torch.bool)
    untouched[4:10, 2:8] = False
    torch.testing.assert_close(ours[1][..., untouched], plain[1][..., untouched])
    torch.testing.assert_close(ours[2], plain[2])


def test_each_frame_is_augmented_by_its_own_draw():
    frames = torch.randint(0, 256, (2, 2, 3, 32, 16), dtype=torch.uint8, generator=draw())
    flow = torch.randint(0, 256, (2, 2, 3, 2, 32, 16), dtype=torch.uint8, generator=draw())
    flip = torch.tensor([True, False, False, True])
    erase = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [4, 2, 10, 8], [0, 0, 0, 0]])
    crop = torch.tensor([[-1, -1], [4, 2], [-1, -1], [-1, -1]])
    ours, moved = model().prepare(frames, flip, erase, crop), model().prepare_flow(flow, flip, erase, crop)
    for number in range(4):  # as a clip of one frame, by itself
        clip, step, own = *divmod(number, 2), slice(number, number + 1)
        alone = (flip[own], erase[own], crop[own])
        torch.testing.assert_close(ours[clip, step], model().prepare(frames[clip, step][None, None], *alone)[0, 0])
        torch.testing.assert_close(moved[clip, step], model().prepare_flow(flow[clip, step][None, None], *alone)[0, 0])


def test_frames_cut_from_their_source_are_not_cropped_again():
    frames = torch.randint(0, 256, (1, 2, 3, 32, 16), dtype=torch.uint8, generator=draw())
    ours = model("mean", "crop_from=source")
    torch.testing.assert_close(ours.prepare(frames, crop=torch.tensor([[4, 2]])), ours.prepare(frames))


def test_classifier_by_default_is_torchs():
    """Weights and bias uniform within 1 / sqrt(channels), as torch documents its linear layer."""
    settings = resolve("small", "mean", ["classifier=default"])
    ours = build_model("mean", 400, settings, seed=0)[0].classifier
    for values in (ours.weight, ours.bias):
        assert values.abs().max() <= 1 / 16
        assert values.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.1)
    small = model("mean").classifier
    assert small.bias is None
    assert small.weight.std().item() == pytest.approx(0.001, rel=0.1)


def test_crop():
    ramp = torch.arange(32, dtype=torch.uint8).view(1, 1, 1, 32, 1).expand(2, 2, 3, 32, 16) * 7
    crop = torch.tensor([[4, 2], [-1, -1]])
    ours, flow = model().prepare(ramp, crop=crop), model().prepare_flow(ramp[:, :, None, :2], crop=crop)[:, :, 0]
    plain, still = model().prepare(ramp), model().prepare_flow(ramp[:, :, None, :2])[:, :, 0]
    torch.testing.assert_close(ours[1], plain[1])
    torch.testing.assert_close(flow[1], still[1])
    # Row r of the part is at (r + 4 + 1/2) / (9/8) - 1/2 of the whole, where the ramp is linear.
    rows = torch.arange(27)
    places = (rows + 4.5) / 1.125 - 0.5
    step = plain[1, 0, :, 1:2] - plain[1, 0, :, :1]
    torch.testing.assert_close(ours[0, 0][:, rows], plain[1, 0, :, :1] + step * places.view(-1, 1))
    torch.testing.assert_close(
        flow[0, 0, :, 0] / 1.125, still[1, 0, :, 3] + (still[1, 0, :, 4] - still[1, 0, :, 3]) / 2
    )


def test_batch_moves_to_device(monkeypatch):
    ours = model("mean+afa").to("meta")
    seen = {}
    monkeypatch.setattr(ours, "losses", lambda features, labels, draw: seen.update(features=features, labels=labels))
    frames = torch.zeros(4, 3, 3, 32, 16, dtype=torch.uint8)
    ours(frames, LABELS, None, None, 0, mode="loss")
    assert seen["labels"].device == seen["features"].frames.device == torch.device("meta")


def test_losses_are_float32():
    given = features()
    half = afa.VideoFeatures(given.frames.bfloat16(), given.coherence.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        terms = model("mean+afa").losses(half, LABELS, draw())
    assert {term.dtype for term in terms.values()} == {torch.float32}
    widened = afa.VideoFeatures(half.frames.float(), half.coherence.float())
    exact = model("mean+afa").losses(widened, LABELS, draw())
    torch.testing.assert_close(terms, exact)


def test_prediction_has_no_side_effects():
    ours = model("qan+afa").eval()
    frames = torch.randint(0, 256, (2, 3, 3, 32, 16), dtype=torch.uint8, generator=draw())
    kept, state = frames.clone(), torch.get_rng_state()
    with torch.no_grad():
        once, again = ours(frames), ours(frames)
    assert torch.equal(once.coherence, again.coherence)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(frames, kept)


def test_methods_share_initial_weights():
    plain, with_afa = model("qan").state_dict(), model("qan+afa").state_dict()
    assert plain.keys() == with_afa.keys()
    assert all(torch.equal(plain[key], with_afa[key]) for key in plain)


def test_frame_classification_is_a_mean():
    built = model("mean+afa", "classification=frames", "lambda=0.0", "label_smoothing=0.1")
    given, loss = features(), built.losses(features(), LABELS, draw())["loss_class"]
    augmented = built.augmentation(given, draw())
    built.neck.reset_running_stats()
    logits = built.classifier(built.neck(augmented.flatten(0, 1))).unflatten(0, (4, 3))
    each = [F.cross_entropy(logits[b, t], LABELS[b], label_smoothing=0.1) for b in range(4) for t in range(3)]
    torch.testing.assert_close(loss, torch.stack(each).mean())


class WithLosses(Baseline):
    """Hands on what a test gives it to return."""

    returned: ClassVar[dict] = {}

    def forward(self, clips):
        return disentangle(self.embed(clips.frames))

    def losses(self, features, labels):
        return self.returned


def with_losses(returned: dict, *changes: str) -> ReidModel:
    settings = resolve("small", "mean+afa", ["clip_frames=3", *changes])
    baseline = WithLosses(build_backbone("small", "none")[0])
    baseline.returned = returned
    return ReidModel(baseline, 2, settings).train()


def test_baseline_losses_are_added():
    built = with_losses({"diversity": torch.tensor(0.25)})
    terms = built.losses(features(), LABELS, draw())
    assert terms["loss_diversity"] == 0.25
    assert list(terms) == ["loss_triplet", "loss_class", "loss_coherence", "loss_diversity"]


@pytest.mark.parametrize("returned", [{"triplet": torch.tensor(0.0)}, {"mine": torch.zeros(2)}, {"mine": 0.5}])
def test_invalid_losses_are_refused(returned):
    with pytest.raises(UserError, match=r"test_model\.py, line \d+: losses of WithLosses returns '(triplet|mine)'"):
        with_losses(returned).losses(features(), LABELS, draw())


def test_losses_that_are_no_dict_are_refused():
    with pytest.raises(
        UserError, match=r"losses of WithLosses returns a Tensor; it must return a dict of scalar tensors"
    ):
        with_losses(torch.tensor(0.5)).losses(features(), LABELS, draw())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (disentangle(torch.zeros(2, 3, 256), torch.ones(2, 3, 4)), ""),
        (disentangle(torch.zeros(2, 3, 128)), "or set self.channels = 128 in __init__"),
        (VideoFeatures(torch.zeros(2, 3, 256), torch.zeros(2, 256), torch.ones(2, 3, 5)), "returns weights (2, 3, 5)"),
        (VideoFeatures(torch.zeros(2, 3, 256), torch.zeros(2, 256), torch.ones(2, 2)), "returns weights (2, 2)"),
        (disentangle(torch.zeros(2, 3, 256), None, {"parts": torch.zeros(6, 1)}), "the extra 'parts' of shape (6, 1)"),
        (torch.zeros(2, 256), "returns a Tensor"),
        (VideoFeatures(torch.zeros(2, 256), torch.zeros(2, 256)), "returns frames (2, 256) and coherence (2, 256)"),
    ],
)
def test_forward_output_is_checked(returned, message):
    built = with_losses({})
    clips = Clips(torch.zeros(2, 3, 3, 32, 16))
    if not message:
        assert checked(returned, built.baseline, clips) is returned
        return
    with pytest.raises(UserError, match=re.escape(message)):
        checked(returned, built.baseline, clips)


@pytest.mark.parametrize("granularity", ["batch", "clip", "frame"])
def test_motion_with_delta_is_coherence_with_its_inverse_for_a_batch_only(granularity, monkeypatch):
    """delta X_C + X_D is delta (X_C + X_D / delta), and the batch normalisation divides by delta (docs/paper-notes.md).

    A delta for each clip or frame is not divided out.
    """
    shape = {"batch": (1, 1, 1), "clip": (4, 1, 1), "frame": (4, 3, 1)}[granularity]
    delta = 1.5 if granularity == "batch" else torch.rand(shape, generator=draw(), dtype=torch.float64) + 0.5

    def classified(method: str, factor: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        ours, frames = model(method, f"granularity={granularity}").double(), features().frames.double().requires_grad_()
        ours.neck.eps = 1e-12
        torch.nn.init.normal_(ours.classifier.weight, std=1.0, generator=draw())
        noise = (torch.as_tensor(factor, dtype=torch.float64).expand(shape) - 1) / ours.settings.sigma
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, **__: noise)
            loss = ours._classification(disentangle(frames), LABELS, draw())
        loss.backward()
        return loss.detach(), frames.grad

    motion, coherence = classified("mean+afa-motion", delta), classified("mean+afa", 1 / delta)
    plain = classified("mean+afa", 1.0)
    assert abs(motion[0] - plain[0]) > 1e-3  # the noise itself acts
    if granularity == "batch":
        torch.testing.assert_close(motion, coherence, rtol=1e-9, atol=1e-12)
    else:
        assert abs(motion[0] - coherence[0]) > 1e-3

"""`adfdta`: the surer the value of an attribute, the larger the weight of its block; attributes are learned from people."""

import math

import numpy as np
import pytest
import simplejpeg
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips, UserError
from benchmarks.data.attributes import encode_attributes, known_values
from benchmarks.data.find import find_dataset

WIDTH = 256
VALUES = torch.tensor([[0, 2], [1, 0], [-1, 1]])  # of two attributes, for three people; one is unknown


def build(values: torch.Tensor = VALUES, **settings: float) -> torch.nn.Module:
    torch.manual_seed(0)
    model = BASELINES.get("adfdta")(build_backbone("small", "none")[0], **settings)
    model.add_attributes(values)
    return model


def clips(batch: int = 2, steps: int = 4) -> Clips:
    return Clips(torch.randn(batch, steps, 3, 32, 16, generator=torch.Generator().manual_seed(0)))


def answering(model: torch.nn.Module, group: int, logits: torch.Tensor, monkeypatch) -> torch.nn.Module:
    """The model with these answers (N, V) of one classifier."""
    monkeypatch.setattr(model.groups[group].classifier, "forward", lambda _: logits)
    return model


@torch.no_grad()
def test_uncertain_frames_count_least(monkeypatch):
    """On the second attribute, frame 0 is sure, frame 1 is undecided between two of three values, frame 2 between all."""
    model, given = build(sigma=0.5).eval(), clips(batch=1, steps=3)
    before = model(given)
    answers = torch.tensor([[50.0, 0, 0], [0, 0, -50], [0, 0, 0]])
    after = answering(model, 1, answers, monkeypatch)(given)
    assert after.frames.shape == (1, 3, 3 * WIDTH)
    expected = [1, math.exp(-math.log(2) / math.log(3) / 0.5), math.exp(-1 / 0.5)]
    assert after.weights[0, :, 2].tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(after.weights[..., :2], before.weights[..., :2])  # the whole and the other attribute
    assert torch.equal(after.weights[..., 0], torch.ones(1, 3))
    weighted = (torch.tensor(expected)[:, None] * after.frames[0, :, 2 * WIDTH :]).sum(dim=0) / sum(expected)
    torch.testing.assert_close(after.coherence[0, 2 * WIDTH :], weighted)
    torch.testing.assert_close(after.coherence[:, :WIDTH], after.frames[..., :WIDTH].mean(dim=1))


@torch.no_grad()
def test_large_sigma_is_the_plain_mean():
    features = build(sigma=1e9).eval()(clips())
    torch.testing.assert_close(features.coherence, features.frames.mean(dim=1))
    assert not torch.allclose(build(sigma=0.01).eval()(clips()).coherence, features.coherence, rtol=1e-3)


def test_loss_is_the_mean_over_known_attributes(monkeypatch):
    model = build(attribute_weight=2.0)
    first, second = torch.randn(8, 2), torch.randn(8, 3)  # two clips of four frames
    answering(answering(model, 0, first, monkeypatch), 1, second, monkeypatch)
    found = model.losses(model(clips()), torch.tensor([0, 2]))["attribute"]
    known = [-first.log_softmax(1)[:4, 0], -second.log_softmax(1)[:4, 2], -second.log_softmax(1)[4:, 1]]
    assert found.item() == pytest.approx(2 * torch.cat(known).mean().item(), rel=1e-5)
    nothing = build(torch.tensor([[1], [-1]]))
    assert nothing.losses(nothing(clips()), torch.tensor([1, 1]))["attribute"].item() == 0


def test_classifiers_learn_from_attributes_alone():
    model = build()
    features = model(clips())
    features.coherence.square().sum().backward(retain_graph=True)
    assert all(group.classifier.weight.grad is None for group in model.groups)
    model.losses(features, torch.tensor([0, 1]))["attribute"].backward()
    assert all(group.classifier.weight.grad.any() for group in model.groups)


@torch.no_grad()
def test_a_tracklet_has_the_value_of_its_sure_frames(monkeypatch):
    """A sure frame outweighs two less sure ones with the other value, which the plain mean would follow."""
    model = build(sigma=0.05).eval()
    for group, logits in zip(model.groups, ([[8.0, 0], [0, 5], [0, 5]], [[0.0, 0], [0, 5], [0, 5]]), strict=True):
        group.classifier.weight.zero_()
        group.classifier.bias.zero_()
        group.classifier.weight[:2, :2] = torch.eye(2)  # the logits of two values are two channels of the block
        block = torch.nn.functional.pad(torch.tensor(logits), (0, WIDTH - 2))
        monkeypatch.setattr(group, "forward", lambda _, block=block: block)
    features = model(clips(batch=1, steps=3))
    assert model.recognise(features.coherence).tolist() == [[0, 1]]
    assert model.recognise(features.frames.mean(dim=1)).tolist() == [[1, 1]]
    assert build(torch.zeros(3, 0, dtype=torch.int64)).recognise(torch.zeros(1, WIDTH)) is None


@pytest.mark.parametrize("settings", [{"sigma": 0.0}, {"attribute_weight": -1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UserError, match="sigma must be above 0, and attribute_weight 0 or more"):
        build(**settings)


def test_attributes_of_unseen_people_are_recognised():
    """After training on drawn people, the trousers of others are recognised; if the legs are hidden, only they become unsure."""
    world = find_dataset("walkers-appearance:demo-32x16")
    rows = world.tracklets().query("subset == 'train'").groupby("pid").head(2)
    pids = sorted(rows.pid.unique())
    first = [next(iter(world.draw(row._replace(frames=row.frames[:1])))) for row in rows.itertuples(index=False)]
    images = (
        torch.from_numpy(np.stack([simplejpeg.decode_jpeg(each) for each in first])).permute(0, 3, 1, 2) / 127.5 - 1
    )
    table = world.attributes(None, pids)[["hair", "bottom"]]
    values = torch.from_numpy(encode_attributes(table, known_values(table)))
    labels = torch.tensor([pids.index(pid) for pid in rows.pid])
    unseen, draw = labels >= 110, torch.Generator().manual_seed(0)
    seen = (~unseen).nonzero().flatten()
    model = build(values)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        chosen = seen[torch.randint(len(seen), (32,), generator=draw)]
        frames = images[chosen].clone()
        frames[:8, :, 16:] = 0  # legs
        frames[8:16, :, :16] = 0
        optimizer.zero_grad()
        model.losses(model(Clips(frames.unsqueeze(1))), labels[chosen])["attribute"].backward()
        optimizer.step()

    model.eval()
    hidden = images[unseen].clone()
    hidden[:, :, 16:] = 0
    with torch.no_grad():
        features = model(Clips(torch.stack([images[unseen], hidden], dim=1)))
    bottom, theirs = model.by_attribute(features.extras["attributes"])[1][:, 0], values[labels[unseen], 1]
    right = float((bottom.argmax(dim=1) == theirs).float().mean())
    assert right > float(theirs.bincount().max() / len(theirs)) + 0.05  # than always the most frequent colour
    lost = (features.weights[:, 0] - features.weights[:, 1]).mean(
        dim=0
    )  # by hiding the legs; the whole, hair, trousers
    assert lost[2] > 0.05
    assert lost[2] > 3 * lost[1].abs()

"""CNN+RNN and AMOC: each does what only a right implementation of it does."""

import pytest
import torch

from afa import disentangle
from baselines import BASELINES
from baselines.interface import Clips

from .temporal_models import build, clips, draw, given, new_backbone

# CNN+RNN


@torch.no_grad()
def test_cnn_rnn_recurrence():
    """The outputs against torch's own recurrent layer: tanh(o_t) is what an Elman network of f_t has."""
    model = build("cnn-rnn")
    recurrence, embeddings = model.recurrence, draw(2, 5, 256)
    torch.nn.init.normal_(recurrence.start)
    inputs = recurrence.embedding(embeddings)
    inputs[:, 0] += recurrence.start
    elman = torch.nn.RNN(128, 128, batch_first=True, bias=False)
    elman.weight_ih_l0.copy_(torch.eye(128))
    elman.weight_hh_l0.copy_(recurrence.feedback[2].weight)
    torch.testing.assert_close(recurrence(embeddings).tanh(), elman(inputs)[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cnn_rnn_without_feedback_is_a_mean():
    recurrence, embeddings = build("cnn-rnn").recurrence, draw(2, 5, 256)
    recurrence.feedback[2].weight.zero_()
    assert torch.equal(disentangle(recurrence(embeddings)).coherence, recurrence.embedding(embeddings).mean(dim=1))


@pytest.mark.parametrize("name", ["cnn-rnn", "amoc"])
@torch.no_grad()
def test_recurrence_is_causal(name):
    model, frames = build(name), clips()
    changed = frames.clone()
    changed[:, 2] += 1
    moved = (model(given(frames)).frames - model(given(changed)).frames).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, True]


@torch.no_grad()
def test_cnn_rnn_starts_on_frames_alone():
    start, later = build("cnn-rnn", start=True), build("cnn-rnn", start=True)
    torch.nn.init.normal_(later.backbone.stages["stage1"][0].weight[:, 3:])
    still = Clips(clips(), torch.zeros(2, 4, 1, 2, 64, 32))
    for model, reads_flow in ((start, False), (later, True)):
        assert torch.equal(model(still).frames, model(given(clips())).frames) != reads_flow
    torch.testing.assert_close(
        start.embed(torch.cat([clips(), still.flow[:, :, 0]], dim=2)),
        later.embed(torch.cat([clips(), still.flow[:, :, 0]], dim=2)),
    )


# AMOC


@torch.no_grad()
def test_amoc_without_motion_is_the_spatial_stream():
    model = build("amoc", start=True)
    still = Clips(clips(), torch.zeros(2, 4, 1, 2, 64, 32))
    expected = model.recurrence(model.embed(clips()))
    torch.testing.assert_close(model(still).frames, expected, rtol=1e-4, atol=1e-5)
    backwards = given(clips())._replace(flow=-given(clips()).flow)  # as in a clip that runs backwards
    for one, other in ((given(clips()), still), (given(clips()), backwards)):
        assert not torch.allclose(model(one).frames, model(other).frames, rtol=1e-3, atol=1e-4)


def test_amoc_fuses_behind_layer1():
    assert BASELINES.get("amoc")(new_backbone("resnet50")).fused_at == "layer1"

"""Stages and blocks by name, modules inserted after them, convolutions replaced; a transformer as a plug-in."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from baselines import BASELINES
from baselines.backbones import BACKBONES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips, TemporalLayer, UserError
from baselines.interface.plugins import add_plugin

PLUGIN = Path(__file__).parents[2] / "plugins" / "vit.py"
IMAGES = ["small", "resnet18", "resnet50", "mobilenet_v2"]


@pytest.fixture
def vit(monkeypatch):
    monkeypatch.setattr(BACKBONES, "entries", dict(BACKBONES.entries))
    add_plugin(PLUGIN, [BACKBONES])
    return "tiny-vit"


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", IMAGES)
def test_stages_compose_the_backbone(name):
    backbone = build_backbone(name, "none")[0].eval()
    maps = images()
    with torch.no_grad():
        for stage in backbone.stages.values():
            maps = stage(maps)
        torch.testing.assert_close(maps, backbone(images()), rtol=0, atol=0)
    assert maps.shape[1] == backbone.channels


@pytest.mark.parametrize("name", IMAGES)
def test_the_map_before_the_last_stage(name):
    backbone = build_backbone(name, "none")[0].eval()
    with torch.no_grad():
        middle, last = backbone.maps(images())
        torch.testing.assert_close(backbone.late(middle), last, rtol=0, atol=0)
    assert (middle.shape[1], last.shape[1]) == (backbone.middle_channels, backbone.channels)


class Recorder(TemporalLayer):
    """Hands its input on, and keeps what it saw."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        self.seen = (self.steps, tuple(maps.shape))
        return maps


@pytest.mark.parametrize("name", IMAGES)
def test_module_after_a_block(name):
    for block in build_backbone(name, "none")[0].blocks:
        backbone = build_backbone(name, "none")[0].eval()
        recorder, plain = Recorder(), copy.deepcopy(backbone)
        backbone.insert_after(block, recorder)
        model = BASELINES.get("mean")(backbone)
        with torch.no_grad():
            found = model(Clips(images(6).unflatten(0, (2, 3)))).frames
            expected = BASELINES.get("mean")(plain)(Clips(images(6).unflatten(0, (2, 3)))).frames
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        steps, shape = recorder.seen
        assert (steps, shape[0]) == (3, 6)
        assert len(shape) == 4


def test_stage_named_like_a_block():
    backbone = build_backbone("resnet18", "none")[0].eval()
    recorder = Recorder()
    backbone.insert_after("layer3", recorder)
    with torch.no_grad():
        middle, _ = backbone.maps(images())
    assert recorder.seen == (1, tuple(middle.shape))
    with pytest.raises(KeyError, match=r"no block 'layer9'; there are stem, layer1, .*layer4\.1"):
        backbone.insert_after("layer9", Recorder())


def test_replaced_convolution_is_used():
    backbone = build_backbone("resnet18", "none")[0].eval()
    name = "layer2.0.conv1"
    old = backbone.convolutions[name]
    zero = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    nn.init.zeros_(zero.weight)
    before = backbone(images())
    backbone.replace(name, zero)
    assert backbone.convolutions[name] is zero
    assert not torch.equal(before, backbone(images()))


@pytest.mark.parametrize("name", IMAGES)
def test_inflatable_names_are_convolutions(name):
    backbone = build_backbone(name, "none")[0]
    assert backbone.inflatable
    assert set(backbone.inflatable) <= set(backbone.convolutions)


def test_transformer_plugin(vit):
    backbone, digest = build_backbone(vit, "none")
    assert digest == "none"
    with torch.no_grad():
        middle, last = backbone.eval().maps(images())
    assert middle.shape == last.shape == (2, 64, 8, 4)
    for baseline in ("mean", "qan", "lstm", "flow-only"):
        model = BASELINES.get(baseline)(build_backbone(vit, "none")[0]).eval()
        with torch.no_grad():
            features = model(Clips(images(6).unflatten(0, (2, 3)), torch.zeros(2, 3, 5, 2, 64, 32)))
        assert features.frames.shape == (2, 3, model.channels)
    backbone.insert_after("blocks.1", recorder := Recorder())
    with torch.no_grad():
        backbone(images(6), steps=3)
    assert recorder.seen == (3, (6, 64, 8, 4))


def test_cnn3d_needs_convolutions(vit):
    with pytest.raises(UserError, match="TinyVit names no convolutions to inflate in time"):
        BASELINES.get("cnn3d")(build_backbone(vit, "none")[0])

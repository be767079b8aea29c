"""All published systems with a model of time: gradients, precision, the order of frames, and where modules go."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips
from baselines.layers.placement import middle_blocks, output_shapes

from .temporal_models import LABELS, build, clips, given, new_backbone, trained

READS_ORDER = ("amoc", "ap3d", "bicnet", "cnn-rnn", "cosam", "gltr", "psta", "sinet", "ste-nvan", "tks", "trl")
SYSTEMS = (*READS_ORDER, "nvan", "tam", "tam-srm")
STARTS_AS_MEAN = ("ap3d", "nvan", "tks")


@pytest.mark.parametrize("name", SYSTEMS)
def test_loss_with_afa_reaches_every_parameter(name):
    model = trained(f"{name}+afa", "sigma=0.5")
    generator = torch.Generator().manual_seed(2)
    frames, flow = (
        torch.randint(0, 256, (4, 4, *shape, 64, 32), dtype=torch.uint8, generator=generator)
        for shape in ((3,), (1, 2))
    )
    terms = model(frames, LABELS, flow=flow, mode="loss")
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


def test_clips_at_test():
    """Whole tracklets where the published test has them, clips of T where T is fixed; otherwise the project's chunks."""
    found = {name: BASELINES.get(name).test_clips for name in SYSTEMS}
    assert {name for name in SYSTEMS if found[name] == "whole"} == {"amoc", "cnn-rnn", "gltr"}
    assert {name for name in SYSTEMS if found[name] == "exact"} == {
        "bicnet", "cosam", "psta", "sinet", "ste-nvan",
    }  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_bfloat16(name):
    model = build(name)
    with torch.no_grad():
        expected = model(given(clips())).coherence
        with torch.autocast("cpu", torch.bfloat16):
            found = model(given(clips())).coherence
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_order_of_frames(name):
    model, frames, order = build(name), clips(), torch.tensor([2, 0, 3, 1])
    before, after = (model(given(each)).coherence for each in (frames, frames[:, order]))
    assert torch.allclose(after, before, rtol=1e-4, atol=1e-5) == (name not in READS_ORDER)


@pytest.mark.parametrize("name", STARTS_AS_MEAN)
@pytest.mark.parametrize("pooling", ["mean", "max"])
@torch.no_grad()
def test_starts_as_the_mean(name, pooling):
    backbone = new_backbone("resnet50").eval()
    backbone.pooling = pooling
    expected = BASELINES.get("mean")(backbone)(Clips(clips())).frames  # first: what is inserted changes the backbone
    found = BASELINES.get(name)(backbone).eval()(Clips(clips())).frames
    assert torch.equal(found, expected)


# Where modules go


@pytest.mark.parametrize(
    ("backbone", "second", "third"),
    [
        ("resnet50", [f"layer2.{n}" for n in range(4)], [f"layer3.{n}" for n in range(6)]),
        ("resnet18", ["layer2.0", "layer2.1"], ["layer3.0", "layer3.1"]),
        ("small", ["stage2"], ["stage3"]),
        ("mobilenet_v2", [], [f"blocks.{n}" for n in range(8, 14)]),
    ],
)
def test_middle_blocks(backbone, second, third):
    assert middle_blocks(new_backbone(backbone)) == (second, third)


@torch.no_grad()
def test_output_shapes():
    backbone = new_backbone("resnet18").train()
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    random = torch.get_rng_state()
    assert output_shapes(backbone, ["layer4", "layer2.1"], (256, 128)) == [(512, 16, 8), (128, 32, 16)]
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training and not module._forward_hooks for module in backbone.modules())


def inserted(model: torch.nn.Module, kind: str) -> list[str]:
    return [name for name, module in model.named_modules() if type(module).__name__ == kind]


def test_places_in_resnet50():
    nvan = BASELINES.get("nvan")(new_backbone("resnet50"))
    assert inserted(nvan, "SpaceTime") == [
        *(f"backbone.early.layer2.{block}.1" for block in (2, 3)),
        *(f"backbone.early.layer3.{block}.1" for block in (3, 4, 5)),
    ]
    ap3d = BASELINES.get("ap3d")(new_backbone("resnet50"))
    assert inserted(ap3d, "AlignedConv") == [
        *(f"backbone.early.layer2.{block}.conv2" for block in (0, 2)),
        *(f"backbone.early.layer3.{block}.conv2" for block in (0, 2, 4)),
    ]

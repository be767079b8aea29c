"""TRL, AP3D and TKS: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips, UserError
from baselines.interface.backbone import Backbone

from .temporal_models import build, clips, draw, new_backbone, randomised

# TRL


@torch.no_grad()
def test_trl_starts_without_transform():
    model = build("trl", start=True)
    torch.testing.assert_close(model.aligned(clips()), model.embed(clips()), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_trl_residual_of_equal_frames():
    model, seen = build("trl"), []
    model.specific.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].abs().amax()))
    for frames in (clips(steps=1).expand(-1, 4, -1, -1, -1), clips()):
        model(Clips(frames))
    assert seen[0] < 1e-5
    assert seen[1] > 1e-3


@torch.no_grad()
def test_trl_transform_moves_the_map():
    from baselines.trl import sample

    maps = draw(1, 3, 8, 4)
    one_cell = torch.tensor([[[1.0, 0, 2 / 4], [0, 1.0, 0]]])  # of 4 columns, which span 2
    torch.testing.assert_close(sample(maps, one_cell)[..., :3], maps[..., 1:], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_trl_context_decides_the_transform():
    model, frames = build("trl"), clips()
    changed = frames.clone()
    changed[:, 3] += 1
    before, after = (model.aligned(each)[:, 0] for each in (frames, changed))
    assert not torch.allclose(before, after, rtol=1e-3, atol=1e-4)


# AP3D


@torch.no_grad()
def test_ap3d_rebuilds_a_moved_frame():
    """The neighbour is the frame in the middle moved by whole cells: rebuilt, it is that frame again where it shows it."""
    from baselines.ap3d import rebuild

    centre = draw(2, 16, 8, 4)
    neighbour = centre.roll((1, 1), dims=(2, 3))
    neighbour[:, :, 0], neighbour[:, :, :, 0] = (draw(2, 16, size, seed=1) for size in (4, 8))
    found = rebuild(centre, neighbour, neighbour, temperature=200.0)
    torch.testing.assert_close(found[:, :, :7, :3], centre[:, :, :7, :3], rtol=1e-3, atol=1e-3)
    soft = rebuild(centre, neighbour, neighbour)  # a mean over all positions, with the likeliest preferred
    assert not torch.allclose(soft[:, :, :7, :3], centre[:, :, :7, :3], atol=0.1)
    torch.testing.assert_close(rebuild(0 * centre, neighbour, neighbour)[:, :, 0, 0], neighbour.mean(dim=(2, 3)))


@torch.no_grad()
def test_ap3d_ends_of_a_clip():
    """Equal frames give equal outputs, but for the two ends, which have no neighbour on one side."""
    from baselines.ap3d import AlignedConv

    layer = randomised(AlignedConv(torch.nn.Conv2d(3, 16, 3, padding=1)))
    layer.steps = 5
    outputs = layer(draw(1, 3, 8, 4).expand(5, -1, -1, -1))
    torch.testing.assert_close(outputs[1:4], outputs[2:3].expand(3, -1, -1, -1))
    for end in (0, 4):
        assert not torch.allclose(outputs[end], outputs[2], atol=1e-3)
    assert not torch.allclose(outputs[0], outputs[4], atol=1e-3)


@torch.no_grad()
def test_ap3d_reaches_neighbours_alone():
    from baselines.ap3d import AlignedConv

    layer = randomised(AlignedConv(torch.nn.Conv2d(3, 16, 3, padding=1)))
    layer.steps = 5
    clip = draw(10, 3, 8, 4)
    changed = clip.clone()
    changed[4] += 1  # the last frame of the first of two clips
    moved = (layer(clip) - layer(changed)).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [3, 4]


def test_ap3d_needs_convolutions():
    class Pooled(Backbone):
        """A backbone whose middle has no convolution, as a transformer's."""

        @classmethod
        def network(cls, name):
            return torch.nn.ModuleDict(
                {"first": torch.nn.Conv2d(3, 4, 3), "second": torch.nn.Sequential(torch.nn.ReLU())}
            )

    with pytest.raises(UserError, match=r"ap3d replaces convolutions, and Pooled has none in second\.0"):
        BASELINES.get("ap3d")(Pooled({**Pooled.network(""), "last": torch.nn.Conv2d(4, 4, 1)}, (4, 4, 4)))


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet"])
def test_ap3d_refuses_a_network_in_one_block(name):
    """Its only wide convolution before the last stage is that of the patches, or the network's last one."""
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="ap3d replaces convolutions in several blocks, and TimmModel has only one"):
        BASELINES.get("ap3d")(new_backbone(name))


def test_ap3d_gate_has_no_gradient_to_the_maps():
    """Where the rebuilt neighbour itself is held fixed, nothing flows back through its gate."""
    from baselines.ap3d import AlignedConv, rebuild

    layer = AlignedConv(torch.nn.Conv2d(3, 64, 3, padding=1))
    for weight in (layer.gate.weight, layer.gate_centre.weight, layer.gate_neighbour.weight):
        torch.nn.init.constant_(weight, 0.5)
    centre, neighbour = (draw(1, 64, 4, 2, seed=seed).requires_grad_() for seed in (0, 1))
    gate_and_rebuilt = layer.aligned(centre, neighbour).sum()
    (found,) = torch.autograd.grad(gate_and_rebuilt, centre)
    here, there = layer.embedding(centre), layer.embedding(neighbour)
    rebuilt = rebuild(here, there, neighbour)
    with torch.no_grad():
        gate = torch.sigmoid(layer.gate(layer.gate_centre(centre) * layer.gate_neighbour(rebuilt)))
    (expected,) = torch.autograd.grad((gate * rebuilt).sum(), centre)
    torch.testing.assert_close(found, expected)


# TKS


@torch.no_grad()
def test_tks_kernels():
    """Cell by cell and channel by channel, by hand: a short and a long kernel, mixed by shares of sum 1."""
    from baselines.tks import KernelSelection

    layer, maps = randomised(KernelSelection(16)).eval(), draw(6, 16, 8, 4)
    layer.steps = 6
    cells = maps.unflatten(2, (4, 2)).unflatten(4, (2, 2)).mean(dim=(3, 5))  # (T, C, 4, 2)
    seen = torch.zeros(2, 6, 16, 4, 2)
    for kernel, reach in enumerate((1, 2)):
        for step in range(6):
            for tap, source in enumerate((step - reach, step, step + reach)):
                if 0 <= source < 6:
                    weight = layer.over_time[kernel].weight[..., tap]
                    seen[kernel, step] += torch.einsum("oc,chw->ohw", weight, cells[source])
    scores = layer.choose(layer.reduce(seen.sum(dim=0).mean(dim=(0, 2, 3))[None])).view(2, 16)
    shares = scores.softmax(dim=0)
    expected = layer.norm(torch.einsum("nc,ntchw->tchw", shares, seen))
    added = (layer(maps) - maps).unflatten(2, (4, 2)).unflatten(4, (2, 2))
    torch.testing.assert_close(added, expected[:, :, :, None, :, None].expand_as(added), rtol=1e-3, atol=1e-5)

"""SINet: it does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips, UserError

from .temporal_models import build, clips, draw, new_backbone, randomised


@torch.no_grad()
def test_sinet_integration_starts_as_the_identity():
    from baselines.sinet import Integration

    layer, maps = Integration(32, 4 * 8).eval(), draw(8, 32, 4, 2).relu()
    layer.steps = 4
    assert torch.equal(layer(maps), maps)
    changed = maps.clone()
    changed[3] += 1
    moved = (randomised(layer)(maps) - layer(changed)).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert moved.tolist() == [True] * 4 + [False] * 4  # all frames of the clip, and no other clip


@torch.no_grad()
def test_sinet_suppresses_what_is_salient():
    """A pattern of the front is found in a later frame: the strongest suppression is there, and none where it is not."""
    from baselines.sinet import suppression

    kernel = torch.zeros(1, 2, 3, 3)
    kernel[0, 0, 1, 1] = 9.0
    later = torch.zeros(1, 1, 2, 8, 4)
    later[0, 0, 0, 5, 2] = 6.0
    later[0, 0, 1, 2, 1] = 6.0  # another channel, which the kernel does not look for
    kept = suppression(kernel, later)[0, 0]
    assert kept.max() == 1
    assert divmod(int(kept.argmin()), 4) == (5, 2)
    share = torch.tensor([6.0, *[0.0] * 31]).softmax(dim=0)[0]
    assert float(kept.min()) == pytest.approx(float(torch.exp(5 * (1 / (32 * share) - 1))), rel=1e-4)
    assert (kept == 1).sum() == 31


@torch.no_grad()
def test_sinet_kernel_of_each_clip():
    """Against torch's own convolution, clip by clip."""
    from baselines.sinet import suppression

    kernel, later = draw(3, 5, 3, 3), draw(3, 2, 5, 8, 4)
    for clip, kept in enumerate(suppression(kernel, later)):
        padded = torch.nn.ReplicationPad2d(1)(later[clip])
        shares = (torch.nn.functional.conv2d(padded, kernel[clip : clip + 1]) / 9).flatten(1).softmax(dim=1)
        expected = torch.exp(5 * (1 / (32 * shares) - 1)).clamp(max=1)
        torch.testing.assert_close(kept.flatten(1), expected)


def broaden(last: int, steps: int = 4) -> torch.nn.Module:
    from baselines.sinet import Broaden

    torch.manual_seed(0)
    layer = Broaden(16, last).eval()
    layer.steps = steps
    return layer


@pytest.mark.parametrize("last", [0, 1, 2])
@torch.no_grad()
def test_sinet_keeps_the_pattern_of_the_front(last):
    """The front changes by one number per channel; later frames are suppressed unevenly."""
    maps = draw(4, 16, 8, 4).relu()
    difference = broaden(last)(maps) - maps
    spread = (difference - difference[..., :1, :1]).abs().amax(dim=(1, 2, 3))
    assert (spread[: last + 1] < 1e-5).all()
    assert (spread[last + 1 :] > 1e-3).all()


@torch.no_grad()
def test_sinet_of_closed_gates():
    """Where no channel is stronger inside, nothing is salient and nothing suppressed."""
    maps = torch.ones(4, 16, 8, 4)
    torch.testing.assert_close(broaden(0)(maps)[1:], 1.1 * maps[1:])
    torch.testing.assert_close(broaden(0)(maps)[:1], maps[:1])


@torch.no_grad()
def test_sinet_gate_opens_to_what_is_inside():
    layer, maps = broaden(0), draw(1, 4, 16, 8, 4)
    found = layer.gate(maps)[0]
    inside = maps[0, :, :, 1:7, 1:3]
    for channel in range(16):
        opens = inside[:, channel].mean() > maps[0, :, channel].mean()
        assert (found[channel] > 0) == opens
    assert 0 < (found > 0).sum() < 16
    small = layer.gate(maps[..., :2])[0]  # two columns, both inside
    assert torch.equal(small > 0, maps[0, :, :, 1:7, :2].mean(dim=(0, 2, 3)) > maps[0, ..., :2].mean(dim=(0, 2, 3)))


@torch.no_grad()
def test_sinet_takes_groups_of_four():
    maps = draw(8, 16, 8, 4).relu()
    groups = torch.cat([broaden(1)(half) for half in maps.chunk(2)])
    torch.testing.assert_close(broaden(1, steps=8)(maps), groups)


def test_sinet_refuses_another_length():
    model = build("sinet", 4)
    with pytest.raises(UserError, match="sinet was built for clips of 512 positions"):
        model(Clips(clips(1, 5)))
    with pytest.raises(UserError, match="clip_frames: 1 is too few"):
        BASELINES.get("sinet")(new_backbone(steps=1))

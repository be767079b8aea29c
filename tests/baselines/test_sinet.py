"""SINet: it does what only a right implementation of it does."""

import math

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
def test_sinet_integration_number_by_number():
    """Two clips, against loops over the positions n of each clip, in the order of frames, rows and columns."""
    from baselines.sinet import Integration

    torch.manual_seed(0)
    layer, maps = randomised(Integration(32, 4 * 8)), draw(8, 32, 4, 2)
    layer.steps = 4
    for _ in range(3):
        layer(maps)  # in training, so that the normalisations have statistics
    layer.eval()

    def normalised(values: list[torch.Tensor], norm: torch.nn.BatchNorm1d) -> list[torch.Tensor]:
        numbers = zip(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, strict=True)
        return [(each - mean) / (var + 1e-5).sqrt() * weight + bias for each, mean, var, weight, bias in numbers]

    fewer, norm, back = layer.integrate
    expected = torch.empty_like(maps)
    for clip in (0, 4):
        places = [(clip + frame, ..., row, column) for frame in range(4) for row in range(4) for column in range(2)]
        reduced = [
            torch.stack(normalised([line[:, 0] @ maps[place] for line in layer.reduce[0].weight], layer.reduce[1]))
            for place in places
        ]
        few = [sum(line[n, 0] * reduced[n] for n in range(32)) for line in fewer.weight]
        few = normalised(few, norm)
        for n, place in enumerate(places):
            mixed = reduced[n] + sum(back.weight[n, k, 0] * few[k] for k in range(2)) + back.bias[n]
            for channel in range(32):
                added = layer.expand.weight[channel, :, 0] @ mixed + layer.expand.bias[channel]
                expected[place][channel] = max(0.0, float(maps[place][channel] + added))
    torch.testing.assert_close(layer(maps), expected, rtol=1e-4, atol=1e-5)


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


@torch.no_grad()
def test_sinet_kernel_by_hand():
    """Of a front of two frames with two positions each, three of the nine maps of weights being x0, x1 and ReLU(x0 - x1).

    Positions are in the order of frames. The weights are divided by their sum over the nine, then by their sum over positions:

        x0  x1    weights    over the nine     over positions
         1   3    1, 3, 0    1/4  3/4   0      1/5  9/11   0
         2   0    2, 0, 2    1/2   0   1/2     2/5    0   3/5
         3   1    3, 1, 2    1/2  1/6  1/3     2/5  2/11  2/5
         0   0    0, 0, 0     0    0    0       0     0    0     sums before: 5/4, 11/12, 5/6
    """
    layer = broaden(1, channels=4)
    weight = layer.attention[0].weight.zero_()[..., 0, 0]  # of nine maps, from four channels
    weight[0, 0] = weight[1, 1] = weight[2, 0] = 1
    weight[2, 1] = -1
    front = torch.tensor([[1.0, 2, 3, 0], [3, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 9]])
    kernel = layer.kernel(front.view(1, 4, 2, 1, 2).transpose(1, 2))[0]
    expected = torch.zeros(4, 9)
    expected[0, :3] = torch.tensor([11 / 5, 15 / 11, 12 / 5])  # 1/5 + 2 2/5 + 3 2/5, 9/11 + 3 2/11, 2 3/5 + 3 2/5
    expected[1, :3] = torch.tensor([1, 29 / 11, 2 / 5])  # 3 1/5 + 2/5, 3 9/11 + 2/11, 2/5
    expected[2, :3] = 1  # a constant is its own mean; what is only where no weight is does not count
    torch.testing.assert_close(kernel, expected.view(4, 3, 3), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_sinet_exchange_by_hand():
    """One row of four columns, the front a frame and one later frame.

    Only channel 0 is stronger inside, and its gate is 1/2: the front is 18 at its two positive positions, so the kernel is 18 in
    its centre. Then K * g later / 9 is later itself: log 1, log 6, log 4, log 1, of which the softmax is 1/12, 6/12, 4/12, 1/12,
    so that a = 1 / (4 f) is 3, 1/2, 3/4, 3 and s = 1, exp(-5/2), exp(-5/4), 1.
    """
    layer = broaden(0, steps=2, channels=4)
    layer.attention[0].weight.zero_()[4, 0] = 1  # the centre of the kernel looks at channel 0
    layer.excitation[2].weight.zero_()
    layer.excitation[2].bias.zero_()  # its sigmoid is 1/2
    front = torch.tensor([[0.0, 36, 36, 0], [5, 1, 1, 5], [0, 0, 0, 0], [0, 0, 0, 0]])
    later = torch.tensor([[0, math.log(6), math.log(4), 0], [8, 4, -2, 6], [0, 0, 0, 0], [1, 0, 0, 1]])
    found = layer(torch.stack([front, later]).unsqueeze(2))[:, :, 0]
    one, two = math.exp(-2.5), math.exp(-1.25)
    lost = 1 - one, 1 - two
    gains = [(lost[0] * row[1] + lost[1] * row[2]) / sum(lost) for row in later.tolist()]
    torch.testing.assert_close(found[0], front + 0.1 * torch.tensor(gains)[:, None], rtol=1e-4, atol=1e-5)
    means = torch.tensor([18.0, 3, 0, 0])[:, None]
    kept = later * torch.tensor([1, one, two, 1])
    torch.testing.assert_close(found[1], kept + 0.1 * means, rtol=1e-4, atol=1e-5)


def broaden(last: int, steps: int = 4, channels: int = 16) -> torch.nn.Module:
    from baselines.sinet import Broaden

    torch.manual_seed(0)
    layer = Broaden(channels, last).eval()
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

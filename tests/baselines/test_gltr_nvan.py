"""GLTR, NVAN and STE-NVAN: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips

from .temporal_models import build, clips, draw, new_backbone, randomised

# GLTR


@torch.no_grad()
def test_gltr_impulse():
    """A change of frame s reaches branch n at s - d, s and s + d alone, d = 1, 2, 3."""
    model = build("gltr")
    frames = draw(1, 16, 256)
    changed = frames.clone()
    changed[:, 7] += 1
    differs = (model.pyramid(frames) - model.pyramid(changed)).abs().unflatten(1, (4, 128)).amax(dim=(0, 2)) > 1e-6
    reached = [[7], [6, 7, 8], [5, 7, 9], [4, 7, 10]]
    assert [branch.nonzero().flatten().tolist() for branch in differs] == reached


@torch.no_grad()
def test_gltr_starts_without_attention():
    model = build("gltr", start=True)
    expected = model.pyramid(model.embed(clips())).mean(dim=2)
    assert torch.equal(model(Clips(clips())).coherence, expected)


@torch.no_grad()
def test_non_local_over_a_set():
    from baselines.layers.non_local import NonLocal

    block, frames, order = randomised(NonLocal(16)).eval(), draw(2, 16, 6), torch.tensor([3, 0, 5, 2, 4, 1])
    torch.testing.assert_close(block(frames[:, :, order]), block(frames)[:, :, order], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_non_local_attention():
    """Against torch's own attention without scale."""
    from baselines.layers.non_local import NonLocal

    block, frames = randomised(NonLocal(16)).eval(), draw(2, 16, 6)
    query, key, value = (part(frames).transpose(1, 2) for part in (block.query, block.key, block.value))
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    torch.testing.assert_close(block(frames), frames + block.output(attended.transpose(1, 2)), rtol=1e-4, atol=1e-5)


# NVAN and STE-NVAN


@torch.no_grad()
def test_nvan_couples_all_frames():
    model, frames = build("nvan"), clips()
    changed = frames.clone()
    changed[:, 3] += 1
    moved = (model(Clips(frames)).frames - model(Clips(changed)).frames).abs().amax(dim=(0, 2))
    assert (moved > 1e-5).all()


@torch.no_grad()
def test_nvan_frames_permute_with_the_clip():
    model, frames, order = build("nvan"), clips(), torch.tensor([2, 0, 3, 1])
    before, after = (model(Clips(each)).frames for each in (frames, frames[:, order]))
    torch.testing.assert_close(after, before[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frame", range(8))
@torch.no_grad()
def test_ste_nvan_keeps_halves_apart(frame):
    """Of 8 frames two steps are left; a change of one frame never reaches the step of the other half."""
    model, frames = build("ste-nvan", 8), clips(1, 8)
    changed = frames.clone()
    changed[:, frame] += 1
    before, after = (model(Clips(each)).frames[0] for each in (frames, changed))
    for half in (before[:4], before[4:]):
        assert torch.equal(half, half[:1].expand(4, -1))
    moved = (before - after).abs().amax(dim=1) > 1e-5
    assert moved.tolist() == [step // 4 == frame // 4 for step in range(8)]


@torch.no_grad()
def test_ste_nvan_pads_by_the_last_frame():
    model, frames = build("ste-nvan"), clips(1, 5)
    padded = torch.cat([frames, frames[:, -1:].expand(-1, 3, -1, -1, -1)], dim=1)
    torch.testing.assert_close(model(Clips(frames)).frames, model(Clips(padded)).frames[:, :5])


@torch.no_grad()
def test_ste_nvan_start():
    """While the blocks add nothing, steps are maxima over two frames behind the second stage, and again behind the third."""
    stages = new_backbone().eval().stages
    model = BASELINES.get("ste-nvan")(new_backbone()).eval()
    maps = stages["stage2"](stages["stage1"](clips().flatten(0, 1))).unflatten(0, (-1, 2)).amax(dim=1)
    maps = stages["stage3"](maps).unflatten(0, (-1, 2)).amax(dim=1)
    torch.testing.assert_close(model(Clips(clips())).coherence, stages["stage4"](maps).mean(dim=(2, 3)))


@torch.no_grad()
def test_ste_nvan_adds_the_same_to_a_stripe():
    from baselines.ste_nvan import StripePairs

    layer, maps = randomised(StripePairs(8, 0)).eval(), 10 * draw(4, 8, 32, 16)
    layer.steps = 4
    added = (layer(maps) - maps).unflatten(2, (16, 2))
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added), rtol=1e-4, atol=1e-5)
    assert added[..., 0, 0].std(dim=2).min() > 1e-3
    moved = maps.unflatten(2, (16, 2)).flip(3, 4).flatten(2, 3)  # within each stripe
    torch.testing.assert_close(layer(moved) - moved, layer(maps) - maps, rtol=1e-4, atol=1e-5)

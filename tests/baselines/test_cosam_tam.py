"""COSAM and TAM: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.interface import Clips, UserError

from .temporal_models import build, clips, draw, new_backbone

# COSAM


@torch.no_grad()
def test_cosam_correlation_brute_force():
    from baselines.cosam import correlations

    found = correlations(descriptors := draw(1, 3, 16, 4, dtype=torch.float64))
    assert found.shape == (1, 3, 8, 4)
    for frame, others in enumerate(([1, 2], [0, 2], [0, 1])):
        for place, (other, j) in enumerate((other, j) for other in others for j in range(4)):
            for i in range(4):
                pair = torch.stack([descriptors[0, frame, :, i], descriptors[0, other, :, j]])
                expected = torch.corrcoef(pair)[0, 1] * 15 / 16  # of 16 channels, by the unbiased deviation
                assert float(found[0, frame, place, i]) == pytest.approx(float(expected), rel=1e-3, abs=1e-4)


@torch.no_grad()
def test_cosam_correlation_ignores_level_and_scale():
    from baselines.cosam import correlations

    descriptors = draw(2, 3, 256, 5, dtype=torch.float64)
    torch.testing.assert_close(correlations(7 * descriptors + 3), correlations(descriptors), rtol=0, atol=3e-4)


@torch.no_grad()
def test_cosam_correlation_of_equal_frames():
    from baselines.cosam import correlations

    still = draw(1, 1, 256, 5, dtype=torch.float64).expand(-1, 4, -1, -1)
    same_place = correlations(still).unflatten(2, (3, 5)).diagonal(dim1=3, dim2=4)
    torch.testing.assert_close(same_place, torch.full_like(same_place, 255 / 256), rtol=0, atol=3e-4)


@torch.no_grad()
def test_cosam_frame_from_another_scene():
    layer = next(module for module in build("cosam").modules() if type(module).__name__ == "CoSegment")
    layer.steps = 4
    maps = draw(1, 1, 128, 8, 4).expand(1, 4, -1, -1, -1).clone().relu()
    maps[:, 3] = draw(1, 128, 8, 4, seed=1).relu()
    masks = layer.mask(maps.flatten(0, 1))
    torch.testing.assert_close(masks[:3], masks[:1].expand(3, -1, -1, -1))
    assert (masks[3] - masks[0]).abs().mean() > 0.01
    gates = layer.shared_gate(maps.flatten(0, 1))
    alone = torch.stack([layer.gate(each.mean(dim=(1, 2))) for each in maps[0]])
    torch.testing.assert_close(gates[..., 0, 0], alone.mean(dim=0).expand(4, -1))


@pytest.mark.parametrize("name", ["resnet18", "timm:test_vit", "timm:test_resnet"])
@torch.no_grad()
def test_cosam_places(name):
    """One module is before the last stage and one after it; a model of timm has nothing between them."""
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    plain, frames = new_backbone(name).eval(), clips(1)
    model = BASELINES.get("cosam")(new_backbone(name)).eval()
    first, second = (module for module in model.modules() if type(module).__name__ == "CoSegment")
    embedded = model(Clips(frames)).frames[0]
    middle = first(plain.early(frames[0]))
    between = middle if name.startswith("timm:") else plain.late(middle)
    torch.testing.assert_close(embedded, second(between).mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cosam_refuses_another_length():
    model = build("cosam", 4)
    with pytest.raises(UserError, match="clips of 4 frames with maps of 32 cells, and cannot take clips of 5 frames"):
        model(Clips(clips(1, 5)))
    with pytest.raises(UserError, match="maps of 32 cells, and cannot take clips of 4 frames with 8;"):
        model(Clips(clips(1, 4)[..., :32, :16]))
    with pytest.raises(UserError, match="clip_frames: 1 is too few"):
        BASELINES.get("cosam")(new_backbone(steps=1))


# TAM


@torch.no_grad()
def test_tam_attends_over_a_set():
    model, frames, order = build("tam"), clips(), torch.tensor([2, 0, 3, 1])
    before, after = (model(Clips(each)).frames for each in (frames, frames[:, order]))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_tam_steps():
    """The states against torch's own recurrent layer over the attended inputs."""
    model = build("tam")
    embeddings, states = model.embed(clips()), model(Clips(clips())).frames
    previous = torch.cat([torch.zeros(2, 1, 512), states[:, :-1]], dim=1)
    inputs = []
    for step in range(4):
        shares = model.attend(model.from_frame(embeddings), previous[:, step])
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))
        inputs.append(torch.einsum("bt,btd->bd", shares, embeddings))
    elman = torch.nn.RNN(256, 512, batch_first=True)
    elman.load_state_dict({f"{key}_l0": value for key, value in model.cell.state_dict().items()})
    torch.testing.assert_close(states, elman(torch.stack(inputs, dim=1))[0], rtol=1e-4, atol=1e-5)


def test_tam_learns_to_leave_out_noise():
    """Gradient descent towards the feature of a clip without noise takes weight from the frame of noise."""
    model = build("tam")
    clean = clips(1, 1).expand(-1, 4, -1, -1, -1).clone()
    spoilt = clean.clone()
    spoilt[:, 2] = 5 * draw(1, 3, 64, 32, seed=3)
    with torch.no_grad():
        target, embeddings = model(Clips(clean)).coherence, model.embed(spoilt)
    attention = [*model.from_frame.parameters(), *model.from_state.parameters(), *model.score.parameters()]
    optimizer = torch.optim.Adam(attention, lr=0.01)

    def share() -> float:
        return model.attend(model.from_frame(embeddings), target)[0, 2].item()

    before = share()
    for _ in range(20):
        optimizer.zero_grad()
        (model(Clips(spoilt)).coherence - target).square().sum().backward()
        optimizer.step()
    assert share() < 0.5 * before

"""The published systems with a model of time: each does what only a right implementation of it does."""

import pytest
import torch

from afa import disentangle
from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips, UserError
from baselines.interface.backbone import Backbone
from baselines.layers.placement import middle_blocks, output_shapes
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import resolve

READS_ORDER = ("amoc", "ap3d", "bicnet", "cnn-rnn", "cosam", "gltr", "psta", "sinet", "ste-nvan", "tks", "trl")
SYSTEMS = (*READS_ORDER, "nvan", "tam", "tam-srm")
STARTS_AS_MEAN = ("ap3d", "nvan", "tks")
LABELS = torch.tensor([0, 0, 1, 1])


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def clips(batch: int = 2, steps: int = 4, seed: int = 0) -> torch.Tensor:
    return draw(batch, steps, 3, 64, 32, seed=seed)


def given(frames: torch.Tensor) -> Clips:
    """The frames with flow that is drawn, the same for each clip of as many frames."""
    return Clips(frames, draw(*frames.shape[:2], 1, 2, *frames.shape[3:], seed=11))


def trunk(name: str = "small", steps: int = 4) -> Backbone:
    """A backbone of a run with clips of `steps` frames."""
    torch.manual_seed(0)
    backbone = build_backbone(name, "none")[0]
    backbone.clip_frames, backbone.image_size = steps, (64, 32)
    return backbone


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """The model with random numbers where weights start at zero, so that each part has an effect."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def build(name: str, steps: int = 4, start: bool = False) -> torch.nn.Module:
    """A model for evaluation, with the statistics of a batch in its batch normalisations; `start`: as it begins."""
    model = BASELINES.get(name)(trunk(steps=steps))
    model = (model if start else randomised(model)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model(given(clips(8, steps, seed=9)))
    return model.eval()


def trained(method: str, *changes: str) -> ReidModel:
    settings = resolve("small", method, ["clip_frames=4", "height=64", "width=32", *changes])
    model = build_model(method, 2, settings, seed=0)[0].train()
    randomised(model.baseline)
    return model


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
    backbone = trunk("resnet50").eval()
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
    assert middle_blocks(trunk(backbone)) == (second, third)


@torch.no_grad()
def test_output_shapes():
    backbone = trunk("resnet18").train()
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    random = torch.get_rng_state()
    assert output_shapes(backbone, ["layer4", "layer2.1"], (256, 128)) == [(512, 16, 8), (128, 32, 16)]
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training and not module._forward_hooks for module in backbone.modules())


def inserted(model: torch.nn.Module, kind: str) -> list[str]:
    return [name for name, module in model.named_modules() if type(module).__name__ == kind]


def test_places_in_resnet50():
    nvan = BASELINES.get("nvan")(trunk("resnet50"))
    assert inserted(nvan, "SpaceTime") == [
        *(f"backbone.early.layer2.{block}.1" for block in (2, 3)),
        *(f"backbone.early.layer3.{block}.1" for block in (3, 4, 5)),
    ]
    ap3d = BASELINES.get("ap3d")(trunk("resnet50"))
    assert inserted(ap3d, "AlignedConv") == [
        *(f"backbone.early.layer2.{block}.conv2" for block in (0, 2)),
        *(f"backbone.early.layer3.{block}.conv2" for block in (0, 2, 4)),
    ]


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
    stages = trunk().eval().stages
    model = BASELINES.get("ste-nvan")(trunk()).eval()
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


@torch.no_grad()
def test_cosam_refuses_another_length():
    model = build("cosam", 4)
    with pytest.raises(UserError, match="clips of 4 frames with maps of 32 cells, and cannot take clips of 5 frames"):
        model(Clips(clips(1, 5)))
    with pytest.raises(UserError, match="maps of 32 cells, and cannot take clips of 4 frames with 8;"):
        model(Clips(clips(1, 4)[..., :32, :16]))
    with pytest.raises(UserError, match="clip_frames: 1 is too few"):
        BASELINES.get("cosam")(trunk(steps=1))


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
    assert BASELINES.get("amoc")(trunk("resnet50")).fused_at == "layer1"


# SINet


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
        BASELINES.get("sinet")(trunk(steps=1))


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

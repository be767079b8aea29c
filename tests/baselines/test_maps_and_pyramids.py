"""TAM+SRM, PSTA and BiCnet-TKS: each does what only a right implementation of it does."""

import pytest
import torch

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips, UserError


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clips(batch: int = 2, steps: int = 8, seed: int = 0) -> torch.Tensor:
    return draw(batch, steps, 3, 64, 32, seed=seed)


def build(name: str, backbone: str = "small", start: bool = False) -> torch.nn.Module:
    """A model for evaluation of clips of 8 frames; unless `start`, with random numbers where its weights start at zero."""
    torch.manual_seed(0)
    built = build_backbone(backbone, "none")[0]
    built.clip_frames, built.image_size = 8, (64, 32)
    model = BASELINES.get(name)(built)
    for key, parameter in model.named_parameters():
        if not start and key.endswith("weight") and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


# SRM


def maps(count: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(draw(count, 1024, seed=seed), dim=1)


@torch.no_grad()
def test_srm_of_a_map_with_itself():
    """The difference is zero, whatever the map."""
    srm, several = build("tam-srm").srm, maps(4)
    alike = srm(several, several)
    assert torch.equal(alike, alike[:1].expand(4))
    assert (srm(several, maps(4, seed=1)) - alike).abs().min() > 1e-5


@torch.no_grad()
def test_srm_is_symmetric():
    srm, one, other = build("tam-srm").srm, maps(4), maps(4, seed=1)
    assert torch.equal(srm(one, other), srm(other, one))


STEPS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "down right": (1, 1), "down left": (1, -1)}


@pytest.mark.parametrize("number", range(6), ids=list(STEPS))
@torch.no_grad()
def test_srm_sweeps(number):
    """Cell by cell: each state from its input and the state one step before."""
    srm, inputs = build("tam-srm").srm, draw(2, 16, 8, 4)
    row_step, column_step = list(STEPS.values())[number]
    weight, states = srm.recurrent[number].weight, {}

    def state(row: int, column: int) -> torch.Tensor:
        if not (0 <= row < 8 and 0 <= column < 4):
            return torch.zeros(2, 16)
        if (row, column) not in states:
            before = state(row - row_step, column - column_step)
            states[row, column] = (inputs[:, :, row, column] + before @ weight.T).relu()
        return states[row, column]

    expected = torch.stack([torch.stack([state(row, column) for column in range(4)], 2) for row in range(8)], 2)
    torch.testing.assert_close(srm.sweep(inputs, number), expected)


@torch.no_grad()
def test_tam_beside_its_map():
    """The first part is `tam`; the map is the same in each step, so it has no motion, and is the mean of single frames'."""
    model, tam = build("tam-srm"), build("tam")
    tam.load_state_dict(model.state_dict(), strict=False)
    features, expected = model(Clips(clips())), tam(Clips(clips()))
    torch.testing.assert_close(features.frames[..., :512], expected.frames)
    torch.testing.assert_close(features.coherence[:, :512], expected.coherence)
    assert not features.motion[..., 512:].any()
    single = torch.stack([model(Clips(clips()[:, t : t + 1])).coherence[:, 512:] for t in range(8)])
    torch.testing.assert_close(features.coherence[:, 512:], single.mean(dim=0))
    torch.testing.assert_close(single.norm(dim=2), torch.ones(8, 2))


@torch.no_grad()
def test_tam_srm_distance():
    """By hand, of one pair: half the distance of the unit vectors, and the probability of two people, in equal parts."""
    model = build("tam-srm")
    one, other = model(Clips(clips())).coherence
    described = [model.matcher.describe(torch.empty(0), None, each) for each in (one, other)]
    found = model.matcher.compare(described[0], model.matcher.stack(described))
    same = torch.sigmoid(model.srm(one[None, 512:], one[None, 512:]))
    two = torch.sigmoid(model.srm(one[None, 512:], other[None, 512:]))
    cosine = torch.nn.functional.cosine_similarity(one[:512], other[:512], dim=0)
    expected = torch.stack([same[0] / 2, ((2 - 2 * cosine).sqrt() / 2 + two[0]) / 2])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_srm_loss():
    """Pairs of one person and of two have equal weight; a batch of one person has only the former."""
    model = build("tam-srm")
    features, labels = model(Clips(clips(4))), torch.tensor([0, 0, 1, 2])
    probabilities = {
        (i, j): torch.sigmoid(model.srm(features.coherence[i, None, 512:], features.coherence[j, None, 512:]))[0]
        for i in range(4)
        for j in range(i)
    }
    same = [(1 - p).log() for (i, j), p in probabilities.items() if labels[i] == labels[j]]
    different = [p.log() for (i, j), p in probabilities.items() if labels[i] != labels[j]]
    expected = -(torch.stack(same).mean() + torch.stack(different).mean()) / 2
    torch.testing.assert_close(model.losses(features, labels)["srm"], expected)
    alone = model.losses(features, torch.zeros(4, dtype=torch.long))["srm"]
    torch.testing.assert_close(alone, -torch.stack([(1 - p).log() for p in probabilities.values()]).mean())


def test_srm_learns_to_tell_people_apart():
    model, labels = build("tam-srm"), torch.tensor([0, 0, 1, 1])
    features = model(Clips(clips(2).repeat_interleave(2, dim=0) + 0.1 * clips(4, seed=1)))
    features = type(features)(features.frames.detach(), features.coherence.detach())
    optimizer = torch.optim.Adam(model.srm.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        loss = model.losses(features, labels)["srm"]
        loss.backward()
        optimizer.step()
    assert loss < 0.3


# PSTA


@torch.no_grad()
def test_psta_merges_neighbours():
    """A change of frame 6 reaches only the step of frames 6 and 7 in level 1; two neighbouring frames share a step."""
    model, changed = build("psta"), clips()
    changed[:, 6] += 1
    before, after = (model(Clips(each)).frames for each in (clips(), changed))
    assert torch.equal(before[:, ::2], before[:, 1::2])
    assert ((before - after).abs().amax(dim=(0, 2)) > 1e-6).tolist() == [False] * 6 + [True] * 2


@torch.no_grad()
def test_psta_vector_is_the_mean_of_three_levels():
    model = build("psta")
    outputs = [[], [], []]
    for level, merge in zip(outputs, model.levels, strict=True):
        merge.register_forward_hook(lambda _, __, output, level=level: level.append(output))
    features = model(Clips(clips(1)))
    assert [len(level[0]) for level in outputs] == [4, 2, 1]
    assert all((level[0] >= 0).all() for level in outputs)
    expected = torch.stack([level[0].mean(dim=(0, 2, 3)) for level in outputs]).mean(dim=0)
    torch.testing.assert_close(features.coherence[0], expected)


@torch.no_grad()
def test_psta_affinities():
    """One by one: of each position of a map with each of the other, as query and as key."""
    layer, one, other = build("psta").levels[0].between, draw(1, 256, 8, 4), draw(1, 256, 8, 4, seed=1)
    found = layer.products(torch.cat([one, other]), lambda each: each[[1, 0]])
    parts = [[part(each)[0].flatten(1) for part in (layer.query, layer.key)] for each in (one, other)]
    for number, (own, partner) in enumerate((parts, parts[::-1])):
        for i in (0, 5, 31):
            for j in (0, 3, 30):
                cell = found[number].flatten(1)[:, i]
                torch.testing.assert_close(cell[j], own[0][:, i] @ partner[1][:, j], rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(cell[32 + j], partner[0][:, j] @ own[1][:, i], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_psta_merge():
    """By hand, at one position: TRA is squared and SRA is not; which of the two frames comes first does not matter."""
    merge, one, other = build("psta").levels[0], draw(1, 256, 8, 4), draw(1, 256, 8, 4, seed=1)
    maps, read = torch.cat([one, other]), []
    merge.bottleneck[0].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    found = merge(one, other)
    embedded, (mean, mean_other) = merge.embedding(maps), maps.mean(dim=(2, 3))
    here, there = merge.agreement(maps, embedded)[:, 0, 2, 1]
    assert 0 < here < 1
    squeezed, squeezed_other = (merge.squeeze(each).clamp(min=0) for each in (mean, mean_other))
    gate = merge.gate_of_pair(torch.cat([squeezed, squeezed_other]))
    gate_other = merge.gate_of_pair(torch.cat([squeezed_other, squeezed]))
    across = (gate * here * one[0, :, 2, 1] + gate_other * there * other[0, :, 2, 1]).clamp(min=0) ** 2
    alone = merge.where_alone(torch.cat([embedded, merge.within(maps, lambda each: each)], dim=1))[:, 0, 2, 1]
    by_itself = merge.gate_alone(mean) * alone[0] * one[0, :, 2, 1]
    by_itself += merge.gate_alone(mean_other) * alone[1] * other[0, :, 2, 1]
    torch.testing.assert_close(read[0][0, :, 2, 1], across + by_itself.clamp(min=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(merge(other, one), found, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_psta_short_clips_and_other_maps():
    model = build("psta")
    padded = torch.cat([clips(1, 5), clips(1, 5)[:, -1:].expand(-1, 3, -1, -1, -1)], dim=1)
    torch.testing.assert_close(model(Clips(clips(1, 5))).coherence, model(Clips(padded)).coherence)
    with pytest.raises(UserError, match="psta was built for maps of 32 cells, and cannot take one of 4 x 2"):
        model(Clips(clips(1)[..., :32, :16]))


# BiCnet


@torch.no_grad()
def test_bicnet_weights():
    """Half from the two frames in detail, half from the other six."""
    features = build("bicnet")(Clips(clips()))
    detail, context = features.frames[:, ::4].mean(dim=1), features.frames[:, [1, 2, 3, 5, 6, 7]].mean(dim=1)
    torch.testing.assert_close(features.coherence, (detail + context) / 2)


@pytest.mark.parametrize("pooling", ["mean", "max"])
@torch.no_grad()
def test_bicnet_start_without_exchange(pooling):
    """Kernels and stripes add nothing yet: frames by themselves, three of four at half their size behind the stem."""
    model = build("bicnet", "resnet18", start=True)
    model.backbone.pooling = pooling
    for layer in model.exchange.values():
        torch.nn.init.zeros_(layer.weight)
    stem, *layers = model.backbone.stages.values()
    frames = model(Clips(clips(1))).frames[0]
    for step in range(8):
        maps = stem(clips(1)[:, step])
        maps = torch.nn.functional.max_pool2d(maps, 2) if step % 4 else maps
        for layer in layers:
            maps = layer(maps)
        torch.testing.assert_close(frames[step], model.backbone.pool(maps)[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bicnet_reach():
    """At first a frame in detail reaches the three behind it alone; the kernels then reach the other group too."""
    for start in (True, False):
        model, changed = build("bicnet", start=start), clips(1)
        changed[:, 0] += 1
        before, after = (model(Clips(each)).frames[0] for each in (clips(1), changed))
        moved = ((before - after).abs().amax(dim=1) > 1e-6).tolist()
        assert moved[:4] == [True] * 4
        assert moved[4:] == ([False] * 4 if start else [True, True, True, True])


def test_bicnet_divergence():
    from baselines.bicnet import divergence

    left, right = torch.tensor([0.5, 0.5, 0, 0]), torch.tensor([0, 0, 0.5, 0.5])
    mixed = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert divergence(left.log(), right.log()) == 0
    torch.testing.assert_close(divergence(mixed.log(), mixed.log()), torch.tensor(2**0.5 / 4))
    rows = torch.stack([left, mixed]).sqrt()
    expected = torch.linalg.matrix_norm(rows @ rows.T - torch.eye(2)) / 4
    torch.testing.assert_close(divergence(left.log(), mixed.log()), expected)


def test_bicnet_loss_pushes_later_masks_away_from_the_first():
    model = build("bicnet")
    features = model(Clips(clips()))
    shares = features.extras["stripes"]
    torch.testing.assert_close(shares.exp().sum(dim=3), torch.ones(2, 2, 3))
    leaf = shares.detach().requires_grad_()
    model.losses(
        type(features)(features.frames, features.coherence, None, {"stripes": leaf}), torch.zeros(2)
    ).popitem()[1].backward()
    assert not leaf.grad[:, :, 0].any()
    assert (leaf.grad[:, :, 1:] > 0).all()


@torch.no_grad()
def test_bicnet_stripes():
    """By hand: the first two by the mean over the channels, the others by a score of their own; each normalised by itself."""
    layer, detail, context = build("bicnet").stripes, draw(1, 128, 8, 4), draw(3, 128, 8, 4, seed=1)
    for place, norm in enumerate(layer.norms):
        norm.weight.fill_(1 + place)
    large, small, shares = layer(detail, context)
    rows = [each.mean(dim=2) for each in (detail[0], *context)]
    scores = [rows[0].mean(dim=0), rows[1].mean(dim=0)]
    for number, (convolution, _, matrix, norm) in enumerate(layer.scores, 2):
        weight, bias = convolution.weight[0, :, 0], convolution.bias
        scores.append(norm((matrix.weight @ (weight @ rows[number] + bias) + matrix.bias)[None])[0])
    for number, score in enumerate(scores):
        share = score.softmax(dim=0)
        added = (1 + number) * rows[number] @ share / (1 + layer.norms[0].eps) ** 0.5  # running statistics: 0 and 1
        before, after = (detail[0], large[0]) if number == 0 else (context[number - 1], small[number - 1])
        torch.testing.assert_close(after, before + added[:, None, None], rtol=1e-4, atol=1e-5)
        if number:
            torch.testing.assert_close(shares[0, number - 1].exp(), share)


def test_bicnet_normalises_both_resolutions_by_themselves():
    """In training the kernels' answers have mean 0 and deviation 1 over the frames in detail, and over the others."""
    model = build("bicnet").train()
    model.kernels.steps = 8
    torch.nn.init.ones_(model.kernels.norm.weight)
    channels = model.kernels.norm.num_features
    maps = draw(4, channels, 8, 4), draw(12, channels, 4, 2, seed=1)  # of two clips, with two frames in detail each
    model.kernels.over_time[0].weight.data *= 5
    for before, after in zip(maps, model.over_time(*maps), strict=True):
        added = after - before
        torch.testing.assert_close(added.mean(dim=(0, 2, 3)), torch.zeros(channels), rtol=0, atol=1e-4)
        torch.testing.assert_close(added.std(dim=(0, 2, 3), correction=0), torch.ones(channels), rtol=0, atol=0.01)


@torch.no_grad()
def test_bicnet_padding_counts_for_nothing():
    features = build("bicnet")(Clips(clips(1, 5)))
    assert features.weights.tolist() == [[3, 1, 1, 1, 3]]

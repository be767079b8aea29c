"""Every baseline over every backbone keeps the one rule; mean and qan do what their names say; weights load or are refused."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from baselines import BASELINES
from baselines.backbones.build import build_backbone
from baselines.interface.backbone import Backbone
from baselines.interface.baseline import Clips
from baselines.interface.errors import UserError
from baselines.layers.temporal_conv import TemporalConv

VIDEO = ("r3d18", "r2plus1d18")


def clips(batch: int = 2, steps: int = 3, fields: int = 5) -> Clips:
    draw = torch.Generator().manual_seed(0)
    return Clips(
        torch.randn(batch, steps, 3, 64, 32, generator=draw),
        torch.randn(batch, steps, fields, 2, 64, 32, generator=draw),
    )


def of_run(name: str, steps: int) -> Backbone:
    """A backbone as a run with clips of `steps` frames builds it."""
    backbone = build_backbone(name, "none")[0]
    backbone.clip_frames, backbone.image_size = steps, (64, 32)
    return backbone


# The larger backbones are in backbones/test_large_backbones.py.
IMAGE = ("mobilenet_v2", "resnet18", "resnet50", "small")
PAIRS = [(name, backbone) for name in BASELINES.names() for backbone in IMAGE]


@pytest.mark.parametrize(("name", "backbone"), [*PAIRS, *(("cnn3d", backbone) for backbone in VIDEO)])
def test_baseline_contract(name, backbone):
    model = BASELINES.get(name)(of_run(backbone, 3)).eval()
    with torch.no_grad():
        features = model(clips(fields=model.flow_fields))
    assert features.frames.shape == (2, 3, model.channels)
    assert features.coherence.shape == (2, model.channels)
    if features.weights is not None:
        blocks = features.weights.flatten(2) if features.weights.dim() == 3 else features.weights.unsqueeze(2)
        assert blocks.shape[:2] == (2, 3)
        assert model.channels % blocks.shape[2] == 0
        assert (blocks > 0).all()


def test_mean_averages_frames():
    torch.manual_seed(0)
    model = BASELINES.get("mean")(build_backbone("small", "none")[0]).eval()
    with torch.no_grad():
        whole = model(clips()).coherence
        singles = torch.stack([model(Clips(clips().frames[:, t : t + 1])).coherence for t in range(3)])
    torch.testing.assert_close(whole, singles.mean(dim=0))


def test_qan_weights_depend_on_the_frame():
    torch.manual_seed(0)
    model = BASELINES.get("qan")(build_backbone("small", "none")[0]).eval()
    torch.nn.init.normal_(model.quality.weight)
    with torch.no_grad():
        features = model(clips())
        alone = [model(Clips(clips().frames[:, t : t + 1])) for t in range(3)]
    weights = torch.cat([one.weights for one in alone], dim=1)
    assert weights.std() > 1e-3  # the scores differ, so that weighting is seen
    torch.testing.assert_close(features.weights, weights)
    expected = sum(weights[:, t : t + 1] * alone[t].coherence for t in range(3)) / weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(features.coherence, expected)


def test_qan_learns_the_useful_frame():
    """Gradient descent on the pooled feature raises the weight of the frame that is nearer to the target."""
    torch.manual_seed(0)
    model = BASELINES.get("qan")(build_backbone("small", "none")[0]).eval()
    batch = clips(1, 2)
    with torch.no_grad():
        target = model(Clips(batch.frames[:, :1])).coherence
    optimizer = torch.optim.Adam(model.quality.parameters(), lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        (model(batch).coherence - target).square().sum().backward()
        optimizer.step()
    weights = model(batch).weights[0]
    assert weights[0] > 2 * weights[1]


@pytest.mark.parametrize(("backbone", "stage"), [("resnet18", (16, 8)), ("resnet50", (16, 8))])
def test_resnet_last_stage_resolution(backbone, stage):
    model = build_backbone(backbone, "none")[0].eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 128)).shape[2:] == stage


def test_last_stride():
    model = build_backbone("resnet18", "none", last_stride=2)[0].eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 128)).shape[2:] == (8, 4)
    with pytest.raises(
        UserError, match="last_stride: 2 is for resnet18, resnet50, resnet50-ibn-a, resnet50-linear-stem, not for small"
    ):
        build_backbone("small", "none", last_stride=2)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file(tmp_path, suffix):
    reference = torchvision.models.mobilenet_v2(weights=None).eval()
    state = {key: value for key, value in reference.state_dict().items() if not key.startswith("classifier.")}
    file = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    backbone, digest = build_backbone("mobilenet_v2", str(file))
    images = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), reference.features(images))
    assert len(digest) == 64


def test_weights_of_another_backbone(tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(torchvision.models.mobilenet_v2(weights=None).state_dict(), file)
    with pytest.raises(UserError, match=r"w\.safetensors lacks 'conv1\.weight'"):
        build_backbone("resnet18", str(file))


def test_pickled_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    file = tmp_path / "w.pth"
    torch.save({"conv1.weight": Evil()}, file)
    with pytest.raises(UserError, match=r"w\.pth cannot be read"):
        build_backbone("resnet18", str(file))


def test_unreachable_weights_are_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(UserError, match=r"resnet50-0676ba61\.pth.*--weights FILE, or --weights none"):
        build_backbone("resnet50", "imagenet")


def test_wrong_checksum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet50-0676ba61.pth").write_bytes(b"another")
    with pytest.raises(UserError, match="checksum"):
        build_backbone("resnet50", "imagenet")


@pytest.mark.parametrize(
    ("name", "weights", "message"), [("resnet51", "none", "resnet50"), ("small", "imagenet", "none")]
)
def test_wrong_backbone_or_weights(name, weights, message):
    with pytest.raises(UserError, match=message):
        build_backbone(name, weights)


@pytest.mark.parametrize("name", BASELINES.names())
def test_reads_order_says_whether_embeddings_depend_on_order(name):
    torch.manual_seed(0)
    kind, order = BASELINES.get(name), torch.tensor([2, 0, 3, 1])
    model, given = kind(of_run("small", 4)).eval(), clips(steps=4, fields=kind.flow_fields)
    for key, weight in model.named_parameters():
        if key.endswith("weight") and not weight.any():  # what starts at zero would hide what it reads
            torch.nn.init.normal_(weight)
    with torch.no_grad():
        one = model(given).frames
        other = model(Clips(given.frames[:, order], given.flow[:, order])).frames
        still = model(given._replace(flow=torch.zeros_like(given.flow))).frames
    # Time steps are frames, or steps of attention over a set of frames.
    set_alike = any(torch.allclose(each, other, atol=1e-5) for each in (one[:, order], one))
    assert kind.reads_order == (not set_alike or not torch.allclose(one, still, atol=1e-5))


def lstm_by_hand(x, wi, wh, bi, bh):
    """The textbook's LSTM: input, forget and output gate and candidate, in torch's order i, f, g, o."""
    hidden = cell = torch.zeros(len(x), wh.shape[1])
    outputs = []
    for step in x.unbind(1):
        i, f, g, o = (step @ wi.T + hidden @ wh.T + bi + bh).chunk(4, dim=1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return outputs


def gru_by_hand(x, wi, wh, bi, bh):
    """Cho et al. (2014), the reset gate after the product as in cuDNN: reset, update and candidate, in torch's order r, z, n."""
    hidden, outputs = torch.zeros(len(x), wh.shape[1]), []
    for step in x.unbind(1):
        (ri, zi, ni), (rh, zh, nh) = ((at @ w.T + b).chunk(3, dim=1) for at, w, b in ((step, wi, bi), (hidden, wh, bh)))
        update = (zi + zh).sigmoid()
        hidden = (1 - update) * (ni + (ri + rh).sigmoid() * nh).tanh() + update * hidden
        outputs.append(hidden)
    return outputs


def rnn_by_hand(x, wi, wh, bi, bh):
    """McLaughlin et al. (2016): o_t = W_i x_t + W_s r_(t-1), r_t = tanh(o_t)."""
    fed_back, outputs = torch.zeros(len(x), wh.shape[1]), []
    for step in x.unbind(1):
        outputs.append(step @ wi.T + fed_back @ wh.T + bi + bh)
        fed_back = outputs[-1].tanh()
    return outputs


@pytest.mark.parametrize(
    ("name", "by_hand", "width", "share"),
    [("lstm", lstm_by_hand, 512, 0), ("gru", gru_by_hand, 512, 0), ("rnn", rnn_by_hand, 128, 0.6)],
)
def test_recurrent_layers(name, by_hand, width, share):
    torch.manual_seed(0)
    model = BASELINES.get(name)(build_backbone("small", "none")[0]).eval()
    layer = model.recurrent
    with torch.no_grad():
        expected = by_hand(
            model.embed(clips().frames), layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0
        )
        found = model(clips())
    torch.testing.assert_close(found.frames, torch.stack(expected, dim=1))
    torch.testing.assert_close(found.coherence, torch.stack(expected).mean(dim=0))
    assert (model.channels, model.dropout.p) == (width, share)


def test_recurrent_dropout():
    torch.manual_seed(0)
    model = BASELINES.get("rnn")(build_backbone("small", "none")[0])
    with torch.no_grad():
        model.train()
        assert not torch.equal(model(clips()).coherence, model(clips()).coherence)
        model.eval()
        assert torch.equal(model(clips()).coherence, model(clips()).coherence)


def test_lstm_changes_keeps_what_stays_apart_from_what_changes():
    """A still clip gives the LSTM nothing: half the embedding is the same whatever the frame shows, half is the frame's own."""
    torch.manual_seed(0)
    model = BASELINES.get("lstm-changes")(build_backbone("small", "none")[0]).eval()
    with torch.no_grad():
        one, other = (
            model(Clips(frame.expand(-1, 5, -1, -1, -1))).coherence for frame in clips().frames.split(1, dim=1)[:2]
        )
        moving = model(clips()).frames
    torch.testing.assert_close(one[:, 512:], other[:, 512:], rtol=0, atol=1e-2)
    assert (one[:, :512] - other[:, :512]).abs().max() > 0.05
    torch.testing.assert_close(
        moving.unflatten(2, (2, 512)).square().mean(dim=3), torch.ones(2, 3, 2), rtol=0, atol=1e-2
    )


def test_lstm_residual_adds_to_each_embedding_what_is_as_large():
    torch.manual_seed(0)
    model = BASELINES.get("lstm-residual")(build_backbone("small", "none")[0]).eval()
    with torch.no_grad():
        frames = model.embed(clips().frames)
        added = model(clips()).frames - frames
        reversed_ = model(Clips(clips().frames.flip(1))).frames.flip(1) - frames
        model.project.weight.zero_()
        torch.testing.assert_close(model(clips()).coherence, frames.mean(dim=1))  # then it is `mean`
    torch.testing.assert_close(added.square().mean(dim=2), frames.square().mean(dim=2), rtol=1e-2, atol=0)
    assert (added - reversed_).abs().max() > 0.1 * frames.abs().mean()  # it depends on the order


def test_max_pooling():
    torch.manual_seed(0)
    model = BASELINES.get("max")(build_backbone("small", "none")[0]).eval()
    with torch.no_grad():
        features = model(clips())
        singles = torch.stack([model(Clips(clips().frames[:, t : t + 1])).coherence for t in range(3)])
    torch.testing.assert_close(features.coherence, singles.max(dim=0).values)


def test_attention_starts_as_the_mean():
    torch.manual_seed(0)
    model = BASELINES.get("attention")(build_backbone("small", "none")[0]).eval()
    with torch.no_grad():
        features = model(clips())
        torch.testing.assert_close(features.coherence, features.frames.mean(dim=1))
        torch.nn.init.normal_(model.over_time.weight)
        features = model(clips())
        scores = model.over_time(torch.relu(model.reduce(features.frames)).transpose(1, 2)).squeeze(1)
        expected = (torch.softmax(scores, dim=1).unsqueeze(-1) * features.frames).sum(dim=1)
    torch.testing.assert_close(features.coherence, expected)


def test_attention_reads_the_place_in_a_map():
    """`attention-map`: the scores by explicit sums over the positions of a map, and the softmax of them as weights."""
    torch.manual_seed(0)
    model = BASELINES.get("attention-map")(of_run("small", 3)).eval()
    with torch.no_grad():
        features = model(clips())
        maps = model.backbone(clips().frames.flatten(0, 1))
        reduced = torch.einsum("nchw,kchw->nk", maps, model.reduce.weight) + model.reduce.bias
        padded = torch.nn.functional.pad(reduced.relu().view(2, 3, -1), (0, 0, 1, 1))  # a step before and one after
        kernel = model.over_time.weight[0].T
        scores = torch.stack([(padded[:, t : t + 3] * kernel).sum(dim=(1, 2)) for t in range(3)], dim=1)
        weights = torch.softmax((scores + model.over_time.bias).relu(), dim=1)
    torch.testing.assert_close(features.frames, maps.mean(dim=(2, 3)).view(2, 3, -1))
    torch.testing.assert_close(features.coherence, (weights.unsqueeze(-1) * features.frames).sum(dim=1))
    assert weights.std() > 1e-4


def moving(steps: int = 5) -> torch.Tensor:
    """Clips in which every frame differs, (2, T, 3, 64, 32)."""
    return torch.randn(2, steps, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["small", "resnet18", "mobilenet_v2", "resnet50"])
def test_still_clip_through_inflated_network(backbone):
    torch.manual_seed(0)
    image = build_backbone(backbone, "none")[0].double()
    still = moving().double()[:, :1].expand(-1, 5, -1, -1, -1)
    with torch.no_grad():
        expected = BASELINES.get("mean")(image).eval()(Clips(still)).frames  # first: the inflation changes `image`
        found = BASELINES.get("cnn3d")(image).double().eval()(Clips(still)).frames
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_inflated_convolution_is_conv3d():
    torch.manual_seed(0)
    inflated = TemporalConv(torch.nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)).double()
    inflated.steps = 5
    clip = torch.randn(2, 5, 3, 8, 6, dtype=torch.float64)
    previous, following = inflated.previous, inflated.following
    kernel = torch.stack([previous, inflated.convolution.weight - previous - following, following], dim=2)
    video = torch.nn.functional.pad(clip.transpose(1, 2), (0, 0, 0, 0, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv3d(video, kernel, stride=(1, 2, 2), padding=(0, 1, 1)).transpose(1, 2)
    torch.testing.assert_close(inflated(clip.flatten(0, 1)).unflatten(0, (2, 5)), expected)


def test_temporal_kernels_scale_with_depth():
    sums = []
    for backbone in ("small", "mobilenet_v2"):
        model = BASELINES.get("cnn3d")(build_backbone(backbone, "none")[0])
        weights = (each.previous.detach() for each in model.modules() if isinstance(each, TemporalConv))
        # In units of the bound of torch's own start, 1 over the root of the inputs.
        sums.append(sum(float(weight.abs().max()) ** 2 * weight[0].numel() for weight in weights))
    assert sums == pytest.approx([3, 3], rel=0.05)


@pytest.mark.parametrize("backbone", ["small", *VIDEO])
def test_cnn3d_sees_order(backbone):
    torch.manual_seed(0)
    frames = moving(6)
    order = torch.tensor([3, 0, 5, 2, 4, 1])
    model = BASELINES.get("cnn3d")(build_backbone(backbone, "none")[0]).eval()
    with torch.no_grad():
        one, other = model(Clips(frames)).coherence, model(Clips(frames[:, order])).coherence
    assert not torch.allclose(one, other, rtol=1e-2)


def test_each_field_of_a_flow_stack_counts_in_its_own_time_step():
    torch.manual_seed(0)
    model = BASELINES.get("flow-only")(build_backbone("small", "none")[0]).eval()
    flow = torch.randn(1, 3, 5, 2, 64, 32, generator=torch.Generator().manual_seed(1))
    for field in range(5):
        changed = flow.clone()
        changed[:, 1, field] += 1
        with torch.no_grad():
            before, after = (model(Clips(torch.empty(1, 3, 3, 64, 32), each)).frames[0] for each in (flow, changed))
        assert ((before - after).abs().amax(dim=1) > 1e-6).tolist() == [False, True, False]


def test_even_number_of_flow_fields_is_refused(monkeypatch):
    kind = BASELINES.get("flow-only")
    monkeypatch.setattr(kind, "flow_fields", 4)
    with pytest.raises(UserError, match="FlowOnly: flow_fields is 4; give an odd number"):
        kind(build_backbone("small", "none")[0])


@pytest.mark.parametrize("backbone", ["small", "resnet18", "mobilenet_v2"])
def test_constant_flow_acts_as_grey_image(backbone):
    from baselines.flow import UNIT

    torch.manual_seed(0)
    image = build_backbone(backbone, "none")[0].double()
    grey = torch.randn(1, 1, 1, 64, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        expected = BASELINES.get("mean")(image).eval()(Clips(grey.expand(-1, -1, 3, -1, -1))).coherence
        flow = grey.unsqueeze(1).expand(-1, 4, 5, 2, -1, -1) * UNIT * 64
        found = BASELINES.get("flow-only")(image).double().eval()(Clips(torch.empty(1, 4, 3, 64, 32), flow)).coherence
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_video_network_needs_cnn3d():
    with pytest.raises(UserError, match="Mean cannot take; --method cnn3d can"):
        BASELINES.get("mean")(build_backbone("r3d18", "none")[0])


@pytest.mark.parametrize("steps", [1, 6])
def test_change_ignores_level_and_scale(steps):
    from baselines.lstm_changes import change

    frames = torch.randn(2, steps, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = change(frames)
    assert found.isfinite().all()
    torch.testing.assert_close(change(7 * frames + 3), found, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(2, 5, dtype=torch.float64))
    if steps > 1:
        torch.testing.assert_close(found.square().mean(dim=1), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=1e-3)

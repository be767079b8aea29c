"""The larger backbones: sizes as published, outputs of torchvision and timm, and weights from files by others' names."""

import sys

import cv2
import pytest
import torch
import torchvision

from baselines import BASELINES
from baselines.backbones import BACKBONES
from baselines.backbones.build import build_backbone
from baselines.interface import Clips, UserError


def images(count: int = 2, height: int = 64, width: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def build(name: str, weights: str = "none") -> torch.nn.Module:
    torch.manual_seed(0)
    return build_backbone(name, str(weights))[0].eval()


def parameters(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnet50-ibn-a", 25_557_032),  # those of ResNet-50: both normalisations have two numbers a channel
        ("vit-s16", 22_050_664),  # timm's vit_small_patch16_224
        ("vit-b16", 86_567_656),  # torchvision's vit_b_16
        (
            "vit-b16-clip",
            86_192_640 - 768 * 512 + 769_000,
        ),  # CLIP's image encoder without its projection; a head of 1,000
    ],
)
def test_published_size(name, published):
    with torch.device("meta"):
        assert parameters(BACKBONES.get(name).network(name)) == published


@torch.no_grad()
def test_linear_stem():
    """The stem's maximum is taken of the normalised map with its negative values; all else is as in ResNet-50."""
    backbone, plain = build("resnet50-linear-stem"), build("resnet50")
    for one, other in zip(backbone.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    convolution, normalisation, *_ = plain.stages["stem"]
    stem = torch.nn.functional.max_pool2d(normalisation(convolution(images())), 3, 2, 1)
    assert stem.min() < 0
    torch.testing.assert_close(backbone.stages["stem"](images()), stem)
    layers = [layer for name, layer in plain.stages.items() if name != "stem"]
    torch.testing.assert_close(backbone(images()), torch.nn.Sequential(*layers)(stem))


def test_published_size_of_osnet():
    """torchreid reports 2,193,616 parameters: it counts the gate of a block in each of its four streams."""
    network = BACKBONES.get("osnet").network("osnet")
    gates = sum(parameters(module) for module in network.modules() if type(module).__name__ == "Gate")
    assert parameters(network) + 3 * gates == 2_193_616


@pytest.mark.parametrize(
    ("name", "middle", "last"),
    [
        ("osnet", (384, 8, 4), (512, 8, 4)),
        ("resnet50-ibn-a", (1024, 8, 4), (2048, 8, 4)),
        ("vit-s16", (768, 8, 4), (384, 8, 4)),
        ("vit-s16-overlap", (768, 10, 5), (384, 10, 5)),
        ("timm:test_vit", (64, 8, 4), (64, 8, 4)),
    ],
)
@torch.no_grad()
def test_maps(name, middle, last):
    backbone = build(name)
    assert [tuple(each.shape[1:]) for each in backbone.maps(images(1, 128, 64))] == [middle, last]
    assert (backbone.middle_channels, backbone.channels) == (middle[0], last[0])


@torch.no_grad()
def test_ibn_halves():
    """Without training, the first half of the channels has mean 0 and deviation 1 in each image, the second is as it came."""
    from baselines.backbones.resnet_ibn import InstanceBatchNorm

    maps = 3 * torch.randn(2, 8, 16, 16) + 1
    found = InstanceBatchNorm(8).eval()(maps)
    torch.testing.assert_close(found[:, :4].mean(dim=(2, 3)), torch.zeros(2, 4), rtol=0, atol=1e-4)
    torch.testing.assert_close(found[:, :4].std(dim=(2, 3), correction=0), torch.ones(2, 4), rtol=1e-3, atol=0)
    torch.testing.assert_close(found[:, 4:], maps[:, 4:], rtol=1e-4, atol=1e-4)
    places = [name for name, each in build("resnet50-ibn-a").named_modules() if type(each) is InstanceBatchNorm]
    assert len(places) == 3 + 4 + 6
    assert all("layer4" not in place and place.endswith(".bn1") for place in places)


@torch.no_grad()
def test_vit_is_torchvisions(tmp_path):
    """The pooled map is torchvision's class token, at the size of its positions."""
    reference = torchvision.models.VisionTransformer(224, 16, 12, 6, 384, 1536, num_classes=3).eval()
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    backbone, pictures = build("vit-s16", tmp_path / "w.pth"), images(1, 224, 224)
    reference.heads = torch.nn.Identity()
    torch.testing.assert_close(backbone.pool(backbone(pictures)), reference(pictures), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_vit_takes_files_by_timms_names(tmp_path, capsys):
    """As files for re-identification are: names with words in front of them, and positions for the size of the image."""
    timm = pytest.importorskip("timm")
    reference = timm.create_model("vit_small_patch16_224", num_classes=0, img_size=(128, 64)).eval()
    reference.patch_embed.proj.stride = (12, 12)
    reference.patch_embed.strict_img_size = False
    reference.pos_embed = torch.nn.Parameter(0.1 * torch.randn(1, 10 * 5 + 1, 384))
    for parameter in reference.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    state = {f"module.base.{key}": value for key, value in reference.state_dict().items()}
    torch.save({"model": {**state, "module.bottleneck.weight": torch.ones(1)}}, tmp_path / "w.pth")
    backbone, pictures = build("vit-s16-overlap", tmp_path / "w.pth"), images(1, 128, 64)
    torch.testing.assert_close(backbone.pool(backbone(pictures)), reference(pictures), rtol=1e-3, atol=1e-4)
    said = capsys.readouterr().err
    assert "150 tensors loaded, named module.base.* in the file; not used: module.bottleneck.weight" in said


@pytest.mark.parametrize(
    "front", ["visual.", "module.image_encoder.", ""]
)  # CLIP's files, CLIP-ReID's, the encoder alone
@torch.no_grad()
def test_clip_takes_files_by_clips_names(front, tmp_path, monkeypatch, capsys):
    """Two blocks deep, against timm's model of CLIP with the same file."""
    timm = pytest.importorskip("timm")
    monkeypatch.setattr("baselines.backbones.vit.DEPTH", 2)
    reference = timm.create_model("vit_base_patch16_clip_quickgelu_224", num_classes=0, depth=2).eval()
    shapes = {"class_embedding": (768,), "positional_embedding": (197, 768), "conv1.weight": (768, 3, 16, 16)}
    shapes |= {f"ln_{each}.{kind}": (768,) for each in ("pre", "post") for kind in ("weight", "bias")}
    for block in ("transformer.resblocks.0.", "transformer.resblocks.1."):
        for layer, size in (("attn.out_proj", (768, 768)), ("mlp.c_fc", (3072, 768)), ("mlp.c_proj", (768, 3072))):
            shapes |= {f"{block}{layer}.weight": size, f"{block}{layer}.bias": size[:1]}
        shapes |= {f"{block}{each}.{kind}": (768,) for each in ("ln_1", "ln_2") for kind in ("weight", "bias")}
        shapes |= {f"{block}attn.in_proj_weight": (2304, 768), f"{block}attn.in_proj_bias": (2304,)}
    random = torch.Generator().manual_seed(0)
    state = {name: 0.05 * torch.randn(size, generator=random) for name, size in shapes.items()}
    filtered = sys.modules[type(reference).__module__].checkpoint_filter_fn
    known = {f"visual.{name}": value.clone() for name, value in state.items()}
    reference.load_state_dict(filtered({**known, "visual.proj": torch.ones(768, 512)}, reference), strict=False)
    text = {"positional_embedding": torch.ones(77, 512), "transformer.resblocks.0.ln_1.weight": torch.ones(512)}
    file = {f"{front}{name}": value for name, value in state.items()} | (text if front else {})
    torch.save({**file, f"{front}proj": torch.ones(768, 512)}, tmp_path / "w.pth")
    backbone, pictures = build("vit-b16-clip", tmp_path / "w.pth"), images(2, 224, 224)
    torch.testing.assert_close(backbone.pool(backbone(pictures)), reference(pictures), rtol=1e-3, atol=1e-4)
    unused = ["positional_embedding", "transformer.resblocks.0.ln_1.weight"] if front else []
    said = capsys.readouterr().err
    assert "31 tensors loaded" in said
    assert f"not used: {', '.join([*unused, f'{front}proj'])}\n" in said


@torch.no_grad()
def test_vit_frames_are_independent():
    model, frames = BASELINES.get("mean")(build("vit-s16")), images(3)[None]
    alone = torch.stack([model(Clips(frames[:, t : t + 1])).coherence for t in range(3)])
    torch.testing.assert_close(model(Clips(frames)).coherence, alone.mean(dim=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("vit-s16", 16 * 8 + 1),  # of 256x128; one more is the class token
        ("vit-s16-overlap", 21 * 10 + 1),  # as TransReID: 1 + (256 - 16) // 12 rows, 1 + (128 - 16) // 12 columns
    ],
)
@torch.no_grad()
def test_vit_tokens(name, tokens, monkeypatch):
    """What torchvision's layers of attention see of an image."""
    monkeypatch.setattr("baselines.backbones.vit.DEPTH", 2)
    backbone, seen = build(name), []
    for module in backbone.modules():
        if isinstance(module, torch.nn.MultiheadAttention):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    backbone(images(1, 256, 128))
    assert seen == [(1, tokens, 384)] * 2


@torch.no_grad()
def test_vit_resizes_positions_as_timm_and_opencv(tmp_path, monkeypatch):
    """From the 14x14 of a file to 16x8, with the class token left out. By default timm also smooths where a side shrinks."""
    layers = pytest.importorskip("timm.layers")
    monkeypatch.setattr("baselines.backbones.vit.DEPTH", 2)
    state = torchvision.models.VisionTransformer(224, 16, 2, 6, 384, 1536).state_dict()
    random = torch.Generator().manual_seed(0)
    positions = torch.randn(1, 1 + 14 * 14, 384, generator=random)
    token = torch.randn(1, 1, 384, generator=random)
    patches = {"conv_proj.weight": torch.zeros(384, 3, 16, 16), "conv_proj.bias": torch.zeros(384)}
    torch.save({**state, **patches, "class_token": token, "encoder.pos_embedding": positions}, tmp_path / "w.pth")
    blocks = build("vit-s16", tmp_path / "w.pth").stages["blocks"]
    cells, everywhere = blocks[0](images(1, 256, 128)).flatten(2).transpose(1, 2).chunk(2, dim=2)
    expected = layers.resample_abs_pos_embed(positions, [16, 8], [14, 14], antialias=False)
    torch.testing.assert_close(cells, expected[:, 1:], rtol=1e-4, atol=1e-5)
    square = positions[0, 1:, :4].contiguous().unflatten(0, (14, 14)).numpy()  # OpenCV takes few channels
    cubic = cv2.resize(square, (8, 16), interpolation=cv2.INTER_CUBIC)  # columns, rows
    torch.testing.assert_close(cells[0, :, :4], torch.from_numpy(cubic).flatten(0, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(everywhere, (token + expected[:, :1]).expand(-1, 128, -1))


def test_vit_grid():
    from baselines.backbones.vit import grid

    assert [grid(count) for count in (196, 128, 210, 32, 8)] == [(14, 14), (16, 8), (21, 10), (8, 4), (4, 2)]


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_resnet", "test_convnext", "test_efficientnet"])
@torch.no_grad()
def test_timm_models(name):
    timm = pytest.importorskip("timm")
    backbone = build(f"timm:{name}")
    network = backbone.stages["model"].network
    torch.testing.assert_close(backbone.pool(backbone(images())), network(images()), rtol=1e-4, atol=1e-5)
    assert backbone.pixel_mean == tuple(timm.get_pretrained_cfg(name).mean)


def test_timm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        UserError, match=r"backbone: timm:test_vit needs the package timm; `pip install afa-bench\[timm\]`"
    ):
        build_backbone("timm:test_vit", "none")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm", "no 'timm'; write timm:NAME"),
        ("small:more", "no 'small:more'; write small"),
        ("timm:test_vitt", "timm has no 'test_vitt'; did you mean 'test_vit"),
    ],
)
def test_wrong_names(name, message):
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=message):
        build_backbone(name, "none")


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        ("osnet", "nvan"),
        ("osnet", "bicnet"),
        ("osnet", "ap3d"),
        ("vit-s16", "nvan"),
        ("vit-s16", "sinet"),
        ("vit-s16", "bicnet"),
    ],
)
@torch.no_grad()
def test_baselines_inside(name, baseline):
    """Those that insert modules, that fix the size of maps, and that go through the stages by themselves."""
    backbone = build(name)
    backbone.clip_frames, backbone.image_size = 4, (64, 32)
    model = BASELINES.get(baseline)(backbone).eval()
    assert model(Clips(images(4)[None])).frames.shape == (1, 4, model.channels)


# Names in files


def test_names_in_a_file(tmp_path, capsys):
    """Trainers put words before all names, and layers of their own beside the backbone."""
    reference = torchvision.models.resnet18(weights=None)
    state = {f"backbone.{key}": value for key, value in reference.state_dict().items() if not key.startswith("fc.")}
    heads = {
        f"heads.{key}": torch.ones(2) for key in ("bottleneck.bias", "bottleneck.weight", "classifier.weight", "x")
    }
    file = tmp_path / "w.pth"
    torch.save({"model": {**state, **heads}, "iteration": 7}, file)
    backbone = build("resnet18", file)
    for key, value in backbone.stages["layer1"].state_dict().items():
        assert torch.equal(value, reference.layer1.state_dict()[key])
    assert capsys.readouterr().err == (
        f"weights: {file}: 120 tensors loaded, named backbone.* in the file; not used: heads.bottleneck.bias, "
        "heads.bottleneck.weight, heads.classifier.weight and 1 more\n"
    )


def test_part_of_a_backbone_is_refused(tmp_path):
    state = {f"backbone.{key}": value for key, value in torchvision.models.resnet18(weights=None).state_dict().items()}
    del state["backbone.layer2.0.conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"lacks 'layer2\.0\.conv1\.weight' and 0 more"):
        build_backbone("resnet18", str(tmp_path / "w.pth"))

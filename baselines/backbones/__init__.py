"""Image backbones, cut in two so that a baseline can read the map before the last stage, and where their weights come from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.interface.errors import UserError
from baselines.interface.registry import nearest

NONE, IMAGENET = "none", "imagenet"


class Backbone(nn.Module):
    """(N, 3, H, W) to a map (N, channels, h, w), in two parts; a video network takes (B, 3, T, H, W) to (B, channels, T, h, w).

    Attributes:
        early: up to the map before the last stage, (N, middle_channels, h', w').
        late: the last stage.
        video: whether it is a video network.
    """

    def __init__(
        self, early: nn.Module, late: nn.Module, middle_channels: int, channels: int, video: bool = False
    ) -> None:
        super().__init__()
        self.early, self.late, self.video = early, late, video
        self.middle_channels, self.channels = middle_channels, channels

    def forward(self, images: Tensor) -> Tensor:
        return self.late(self.early(images))


def _video_resnet(model: Any) -> Backbone:
    """No stride in time, so that T time steps come out, and a last stage without a stride as the image networks have it."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            module.stride = (1, *module.stride[1:])
    for module in model.layer4.modules():
        if isinstance(module, nn.Conv3d):
            module.stride = (1, 1, 1)
    early = nn.Sequential(model.stem, model.layer1, model.layer2, model.layer3)
    return Backbone(early, model.layer4, 256, model.fc.in_features, video=True)


def _resnet(model: Any, last_stride: int) -> Backbone:
    """Last stage with stride 1 instead of 2 (section 3.3), so that the map keeps its resolution; or as it was."""
    last = model.layer4[0]
    if last_stride == 1:
        last.downsample[0].stride = (1, 1)
        for convolution in (last.conv1, last.conv2):  # ResNet-18 strides in the first, ResNet-50 in the second
            convolution.stride = (1, 1)
    early = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool, model.layer1, model.layer2, model.layer3)
    return Backbone(early, model.layer4, last.downsample[0].in_channels, last.downsample[0].out_channels)


def _mobilenet(model: Any) -> Backbone:
    return Backbone(model.features[:14], model.features[14:], 96, 1280)


def _small(widths: tuple[int, ...] = (32, 64, 128, 256)) -> Backbone:
    """Four convolutions, the first three with stride 2: for controls and demonstrations on a CPU."""
    layers, inputs = [], 3
    for position, outputs in enumerate(widths):
        stride = 2 if position < len(widths) - 1 else 1
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        layers.append(nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)))
        inputs = outputs
    return Backbone(nn.Sequential(*layers[:-1]), layers[-1], widths[-2], widths[-1])


@dataclass(frozen=True)
class _Source:
    """How torchvision names a model and its pretrained weights, and how it is cut."""

    model: str
    weights: str
    cut: Callable[..., Backbone]


# The ImageNet weights of 2020, which the paper can have used, and not torchvision's later IMAGENET1K_V2. For its video
# networks torchvision has weights of Kinetics-400 alone; `imagenet` means those there.
TORCHVISION = {
    "resnet50": _Source("resnet50", "ResNet50_Weights.IMAGENET1K_V1", _resnet),
    "resnet18": _Source("resnet18", "ResNet18_Weights.IMAGENET1K_V1", _resnet),
    "mobilenet_v2": _Source("mobilenet_v2", "MobileNet_V2_Weights.IMAGENET1K_V1", _mobilenet),
    "r3d18": _Source("r3d_18", "R3D_18_Weights.KINETICS400_V1", _video_resnet),
    "r2plus1d18": _Source("r2plus1d_18", "R2Plus1D_18_Weights.KINETICS400_V1", _video_resnet),
}
NAMES = (*TORCHVISION, "small")
RESNETS, VIDEO = ("resnet50", "resnet18"), ("r3d18", "r2plus1d18")


def build_backbone(name: str, weights: str, last_stride: int = 1) -> tuple[Backbone, str]:
    """A backbone and the digest of its weights.

    Args:
        name: one of NAMES.
        weights: "none" (random, from torch's generator), "imagenet" (torchvision's, from its cache or downloaded into it
            by torchvision), or a file: safetensors or a state dict, with torchvision's keys; the
            classifier's may lack.
        last_stride: of a ResNet's last stage; 2, as it was for ImageNet, is refused of other backbones.

    Returns:
        The backbone, and the sha256 of the weights' file, or "none".

    Raises:
        UserError: an unknown name, weights that cannot be reached, or a file that does not fit.
    """
    _check(name, weights)
    if last_stride != 1 and name not in RESNETS:
        raise UserError(f"last_stride: {last_stride} is for {' and '.join(RESNETS)}, not for {name}; use 1")
    if name == "small":
        backbone = _small()
        if weights == NONE:
            return backbone, NONE
        state, digest = load_state(Path(weights))
        _fill(backbone, state, weights)
        return backbone, digest
    import torchvision

    source = TORCHVISION[name]
    model = torchvision.models.get_model(source.model, weights=None)
    digest = NONE
    if weights != NONE:
        file = _imagenet_file(source) if weights == IMAGENET else Path(weights)
        state, digest = load_state(file)
        _fill(model, state, str(file))
    return source.cut(model, **({"last_stride": last_stride} if name in RESNETS else {})), digest


def _check(name: str, weights: str) -> None:
    if name not in NAMES:
        raise UserError(f"backbone: no {name!r}; {nearest(name, list(NAMES))}")
    if name == "small" and weights == IMAGENET:
        raise UserError("weights: there are no ImageNet weights for the backbone 'small'; use --weights none or a file")


def imagenet_cache_file(name: str) -> Path:
    """Where torchvision keeps the ImageNet weights of backbone `name`, whether or not they are there."""
    return _cache_file(TORCHVISION[name])


def _cache_file(source: _Source) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_enum(source).url).name


def _enum(source: _Source) -> Any:
    import torchvision

    return torchvision.models.get_weight(source.weights)


def _imagenet_file(source: _Source) -> Path:
    """The file in torchvision's cache, downloaded if need be; its name carries the start of its sha256, which is checked."""
    file = _cache_file(source)
    if not file.exists():
        try:
            _enum(source).get_state_dict(progress=True, check_hash=True)
        except Exception as error:
            raise UserError(
                f"weights: {file} is not there and cannot be downloaded ({error}); put {file.name} there, "
                "or use --weights FILE, or --weights none"
            ) from error
    expected = file.stem.rsplit("-", 1)[-1]
    if not file_digest(file).startswith(expected):
        raise UserError(f"weights: {file} does not have the checksum in its name; delete it and fetch it again")
    return file


def file_digest(file: Path) -> str:
    """sha256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_digest(name: str, weights: str) -> str:
    """The digest that `build_backbone` would return, without building anything; refuses by name what it would refuse."""
    _check(name, weights)
    if weights == NONE:
        return NONE
    file = _imagenet_file(TORCHVISION[name]) if weights == IMAGENET else Path(weights)
    if not file.is_file():
        raise UserError(f"weights: {file}: no such file; name a safetensors or state-dict file, 'imagenet' or 'none'")
    return file_digest(file)


def load_state(file: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors or state-dict file, and the sha256 of its bytes."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        inner: Any = state.get("state_dict", state)
        if not all(isinstance(value, Tensor) for value in inner.values()):
            raise TypeError("not tensors by name")
    except Exception as error:  # torch's text advises to read the file unsafely: it stays with --debug
        raise UserError(f"weights: {file} cannot be read as safetensors or a state dict of tensors") from error
    return inner, file_digest(file)


def _fill(model: nn.Module, state: dict[str, Tensor], file: str) -> None:
    """Load by name. Every tensor of the features must be there; a classifier, ours or the file's, is left alone."""
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(("fc.", "classifier."))}
    lacking = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if lacking:
        raise UserError(
            f"weights: {file} lacks {lacking[0]!r} and {len(lacking) - 1} more; is it for another backbone?"
        )
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
    if wrong:
        raise UserError(
            f"weights: {file}: {wrong[0]!r} is {tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        )
    model.load_state_dict({key: state[key] for key in own if key in state}, strict=False)

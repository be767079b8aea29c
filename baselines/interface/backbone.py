"""The interface of a backbone: a network from images to a feature map, in named stages that a model can extend and change."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor, nn

# Of torchvision's ImageNet weights, in units of pixel values 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TemporalLayer(nn.Module):
    """A layer inside a backbone that mixes frames. Its input is (B * T, C, H, W); the backbone sets T before each pass.

    Attributes:
        steps: T, the number of frames of a clip.
    """

    steps: int = 1


class Insertion(nn.Sequential):
    """A block and the module inserted after it."""


def _without_insertions(module: nn.Module) -> nn.Module:
    while isinstance(module, Insertion):
        module = module[0]
    return module


def _named_modules(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A module and the modules in it, in order, with their names; inserted modules are left out."""
    module = _without_insertions(module)
    yield name, module
    for child, inner in module.named_children():
        yield from _named_modules(f"{name}.{child}", inner)


class Backbone(nn.Module, ABC):
    """(N, 3, H, W) to a map (N, channels, h, w), in stages.

    A subclass under `@register("NAME")` is one family of backbones. It says in `network` how its library builds the network, with
    the keys of published weights, and in `__init__` how that network is cut into stages.

    A video network takes (B, 3, T, H, W) to (B, channels, T, h, w).

    Args:
        stages: name -> module, in order; the last is the last stage.
        channels: the channels of each stage's output.

    Attributes:
        early, late: all stages but the last, and the last.
        middle_channels, channels: channels of the map before the last stage, and of the last.
        video: whether it is a video network.
        has_last_stride: whether `__init__` takes `last_stride`.
        pixel_mean, pixel_std: by which pixels (RGB, 0 to 1) are normalised; they belong to the pretrained weights.
        inflatable: the names of the convolutions that `cnn3d` gives a kernel over time; empty where there are none.
        pooling: how `pool` reduces the map.
        clip_frames, image_size: T of the training clips, and height and width of the images, of the run for which the
            backbone was built; for models whose weights depend on them.
    """

    video: ClassVar[bool] = False
    has_last_stride: ClassVar[bool] = False
    pixel_mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    pixel_std: ClassVar[tuple[float, float, float]] = IMAGENET_STD

    def __init__(self, stages: Mapping[str, nn.Module], channels: tuple[int, ...]) -> None:
        super().__init__()
        *names, last = stages
        self.early = nn.Sequential(OrderedDict((name, stages[name]) for name in names))
        self.late = nn.Sequential(OrderedDict({last: stages[last]}))
        self.middle_channels, self.channels = channels[-2], channels[-1]
        self.inflatable: tuple[str, ...] = ()
        self.pooling: Literal["mean", "max"] = "mean"
        self.clip_frames, self.image_size = 0, (0, 0)

    @classmethod
    @abstractmethod
    def network(cls, name: str) -> nn.Module:
        """The network `name` as its library builds it, with random weights from torch's generator."""

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path | None:  # noqa: ARG003 - a subclass has files
        """The file of the pretrained weights that `--weights imagenet` means; None: there are none.

        Args:
            download: whether to fetch a file that is not here; without, the path may not exist.

        Raises:
            UserError: it cannot be downloaded, or is damaged.
        """
        return None

    def forward(self, images: Tensor, steps: int = 1) -> Tensor:
        """The last map. `steps`: T, where the images are frames of clips of T frames, clip by clip."""
        return self.maps(images, steps)[1]

    def maps(self, images: Tensor, steps: int = 1) -> tuple[Tensor, Tensor]:
        """The map before the last stage, (N, middle_channels, h', w'), and the last map, (N, channels, h, w)."""
        for layer in self._temporal_layers():
            layer.steps = steps
        middle = self.early(images)
        return middle, self.late(middle)

    def pool(self, maps: Tensor) -> Tensor:
        """One embedding per image: (N, channels, h, w) to (N, channels); of a video network (N, channels, T).

        By `pooling`, unless a backbone has something better.
        """
        return maps.mean(dim=(-2, -1)) if self.pooling == "mean" else maps.amax(dim=(-2, -1))

    @property
    def stages(self) -> dict[str, nn.Module]:
        """The stages by name, in order."""
        return dict([*self.early.named_children(), *self.late.named_children()])

    @property
    def blocks(self) -> dict[str, nn.Module]:
        """The blocks by name, in order: `STAGE.0`, `STAGE.1`, ... of a stage that is a sequence, or the `STAGE` itself."""
        found: dict[str, nn.Module] = {}
        for name, stage in self.stages.items():
            plain = _without_insertions(stage)
            if isinstance(plain, nn.Sequential):
                found |= {f"{name}.{number}": block for number, block in plain.named_children()}
            else:
                found[name] = stage
        return found

    @property
    def convolutions(self) -> dict[str, nn.Conv2d]:
        """The convolutions by their names in the stages, in order: `STAGE.0.conv1`, ... Inserted modules are left out."""
        modules = ((name, module) for stage in self.stages.items() for name, module in _named_modules(*stage))
        return {name: module for name, module in modules if isinstance(module, nn.Conv2d)}

    def insert_after(self, block: str, module: nn.Module) -> None:
        """Pass the output of a block, or of a whole stage, through `module`. All names stay as they are.

        A `TemporalLayer` in `module` is told T at each pass.

        Raises:
            KeyError: no such block; the message lists them.
        """
        known = {**self.stages, **self.blocks}
        if block not in known:
            raise KeyError(f"no block {block!r}; there are {', '.join(known)}")
        parent, attribute = self._parent_of(block)
        setattr(parent, attribute, Insertion(getattr(parent, attribute), module))

    def replace(self, name: str, module: nn.Module) -> None:
        """Put `module` in the place of the stage, block or convolution `name`."""
        parent, attribute = self._parent_of(name)
        while isinstance(inner := getattr(parent, attribute), Insertion):
            parent, attribute = inner, "0"
        setattr(parent, attribute, module)

    def _parent_of(self, name: str) -> tuple[nn.Module, str]:
        """The module that has the stage, block or convolution `name` as an attribute, and the attribute."""
        *path, attribute = name.split(".")
        parent: nn.Module = self.late if name.partition(".")[0] in dict(self.late.named_children()) else self.early
        for part in path:
            parent = _without_insertions(getattr(parent, part))
        return parent, attribute

    def _temporal_layers(self) -> list[TemporalLayer]:
        return [module for module in self.modules() if isinstance(module, TemporalLayer)]


def widen_input(backbone: Backbone, channels: int) -> None:
    """Let the first convolution of a backbone for images take `channels` channels, in place.

    Its own weights, summed as for a grey image, take the mean of the channels, so that ImageNet weights keep their meaning
    (Wang et al., 2016). New random weights take their differences.
    """
    first = next(iter(backbone.convolutions.values()))
    new = first.weight.detach().new_empty(first.out_channels, channels, *first.kernel_size)
    nn.init.kaiming_uniform_(new, a=5**0.5)  # as torch initialises any convolution
    shared = first.weight.detach().sum(dim=1, keepdim=True) / channels
    first.in_channels, first.weight = channels, nn.Parameter(shared + new - new.mean(dim=1, keepdim=True))

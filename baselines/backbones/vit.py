"""`vit-b16`, `vit-s16`: vision transformers of Dosovitskiy et al. (ICLR 2021) on patches of 16 pixels, by torchvision.

Between its blocks a transformer has tokens and not maps. Here each block takes and gives a map (N, 2 D, h, w): the token of
each patch and, the same in every cell, the class token. So modules of baselines can be inserted between blocks without losing
the class token. The last map is (N, D, h, w): the tokens of the patches, moved so that their mean over the image is the class
token, which therefore is the embedding of a frame.

Positions are resized (bicubic) from the grid of the weights to that of the image: 16 x 8 patches for 256x128.
"""

import math
import re
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.interface.backbone import Backbone
from baselines.interface.registry import register

from .weights import torchvision_file

PATCH, OVERLAPPING = 16, 12  # pixels: of a patch, and from one to the next where they overlap
OVERLAP = "-overlap"
DEPTH = 12
WIDTHS = {"vit-s16": 384, "vit-b16": 768}
HEAD_WIDTH = 64
# The names of timm's tensors, which most files for re-identification have, and those of torchvision's.
NAMES = {
    r"cls_token$": "class_token",
    r"pos_embed$": "encoder.pos_embedding",
    r"patch_embed\.proj\.": "conv_proj.",
    r"blocks\.(\d+)\.norm1\.": r"encoder.layers.encoder_layer_\1.ln_1.",
    r"blocks\.(\d+)\.attn\.qkv\.": r"encoder.layers.encoder_layer_\1.self_attention.in_proj_",
    r"blocks\.(\d+)\.attn\.proj\.": r"encoder.layers.encoder_layer_\1.self_attention.out_proj.",
    r"blocks\.(\d+)\.norm2\.": r"encoder.layers.encoder_layer_\1.ln_2.",
    r"blocks\.(\d+)\.mlp\.fc1\.": r"encoder.layers.encoder_layer_\1.mlp.0.",
    r"blocks\.(\d+)\.mlp\.fc2\.": r"encoder.layers.encoder_layer_\1.mlp.3.",
    r"norm\.(?=weight$|bias$)": "encoder.ln.",
}


@register("vit-b16", "vit-b16-overlap")
class VisionTransformer(Backbone):
    """`vit-b16`: a vision transformer, 768 channels. `vit-b16-overlap`: `vit-b16` with a patch every 12 pixels, as in TransReID.

    `--weights FILE` takes the names of torchvision's and of timm's tensors, and positions of any grid.
    """

    def __init__(self, network: Any) -> None:
        *blocks, last = network.encoder.layers
        stages = {
            "blocks": nn.Sequential(Patches(network), *map(OnMap, blocks)),
            "last": nn.Sequential(OnMap(last), AroundClass(network.encoder.ln)),
        }
        super().__init__(stages, (2 * network.hidden_dim, network.hidden_dim))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        width = WIDTHS[name.removesuffix(OVERLAP)]
        network = torchvision.models.VisionTransformer(224, PATCH, DEPTH, width // HEAD_WIDTH, width, 4 * width)
        if name.endswith(OVERLAP):
            network.conv_proj.stride = (OVERLAPPING, OVERLAPPING)
        made: nn.Module = network
        return made

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path | None:  # noqa: ARG003 - both names share it
        return torchvision_file("ViT_B_16_Weights.IMAGENET1K_V1", download)

    @classmethod
    def adapt(cls, network: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file by torchvision's names. The network takes the number of positions of the file."""
        renamed = {_own_name(name): value for name, value in state.items()}
        for name, value in renamed.items():
            if name.endswith("encoder.pos_embedding") and value.dim() == 3:
                network.encoder.pos_embedding = nn.Parameter(torch.empty(value.shape))
        return renamed


@register("vit-s16", "vit-s16-overlap")
class SmallVisionTransformer(VisionTransformer):
    """`vit-s16`: a small vision transformer, 384 channels. `vit-s16-overlap`: `vit-s16` with a patch every 12 pixels.

    torchvision has no weights for it; the pixel statistics are those of the files that others have (AugReg, TransReID).
    """

    pixel_mean = pixel_std = (0.5, 0.5, 0.5)

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path | None:  # noqa: ARG003
        return None


def _own_name(name: str) -> str:
    """torchvision's name of a tensor, with whatever the file has in front of it."""
    for theirs, ours in NAMES.items():
        name = re.sub(rf"(?:^|(?<=\.)){theirs}", ours, name)
    return name


class Patches(nn.Module):
    """Images (N, 3, H, W) to the tokens of patches and the class token, (N, 2 D, h, w)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.patches, self.class_token = network.conv_proj, network.class_token
        self.positions = network.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images)
        first, others = self.positions[0, 0], self.positions[0, 1:].T
        cells = resized(others.unflatten(1, grid(others.shape[1])), tokens.shape[2:])
        everywhere = (self.class_token[0, 0] + first)[:, None, None].expand(tokens.shape)
        return torch.cat([tokens + cells, everywhere], dim=1)


class OnMap(nn.Module):
    """A block of a transformer on a map (N, 2 D, h, w)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, maps: Tensor) -> Tensor:
        tokens, everywhere = maps.flatten(2).transpose(1, 2).chunk(2, dim=2)
        passed: Tensor = self.block(torch.cat([everywhere.mean(dim=1, keepdim=True), tokens], dim=1))
        first, others = passed[:, :1], passed[:, 1:]
        return torch.cat([others, first.expand_as(others)], dim=2).transpose(1, 2).unflatten(2, maps.shape[2:])


class AroundClass(nn.Module):
    """The last normalisation; then the tokens of the patches, moved so that their mean is the class token: (N, D, h, w)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, maps: Tensor) -> Tensor:
        tokens, everywhere = (self.norm(each) for each in maps.flatten(2).transpose(1, 2).chunk(2, dim=2))
        moved: Tensor = tokens - tokens.mean(dim=1, keepdim=True) + everywhere
        return moved.transpose(1, 2).unflatten(2, maps.shape[2:])


def grid(count: int) -> tuple[int, int]:
    """Rows and columns of `count` patches: of a square, or of an image that is about twice as high as wide."""
    if math.isqrt(count) ** 2 == count:
        return math.isqrt(count), math.isqrt(count)
    pairs = [(count // columns, columns) for columns in range(1, count + 1) if count % columns == 0]
    return min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1] / 2)))


def resized(cells: Tensor, size: torch.Size) -> Tensor:
    """Position embeddings (D, rows, columns) for a grid of another size."""
    if cells.shape[1:] == size:
        return cells
    return F.interpolate(cells[None].float(), tuple(size), mode="bicubic", align_corners=False)[0].to(cells.dtype)

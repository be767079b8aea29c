"""`vit-b16-clip`: the image encoder of CLIP (Radford et al., ICML 2021), ViT-B/16, by torchvision's layers.

It differs from `vit-b16` in four things: the patches have no bias, tokens are normalised before the first block, the activation
is x sigmoid(1.702 x), and the constant in the normalisations is 1e-5. The embedding of a frame is the normalised class token,
768 channels, before CLIP's projection to 512.

There are no weights to download. `--weights FILE` takes the names of CLIP's own tensors, with the text encoder or without, as
files of CLIP-ReID (Li, Sun and Li, AAAI 2023) have them too, and positions of any grid. Pixels are normalised by 0.5, as by
CLIP-ReID; CLIP itself was trained with other statistics.
"""

import re
from typing import Any, cast

import torch
from torch import Tensor, nn

from baselines.interface.registry import register

from .vit import Patches, VisionTransformer

EPSILON = 1e-5
# CLIP's names of tensors, without the prefix that a file gives the image encoder, and torchvision's names for them.
CLASS = "class_embedding"
BLOCK, OWN_BLOCK = r"transformer\.resblocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."
NAMES = {
    CLASS: "class_token",
    "positional_embedding": "encoder.pos_embedding",
    r"conv1\.weight": "conv_proj.weight",
    r"ln_post\.": "encoder.ln.",
    rf"{BLOCK}(ln_\d\.)": rf"{OWN_BLOCK}\2",
    rf"{BLOCK}attn\.": f"{OWN_BLOCK}self_attention.",
    rf"{BLOCK}mlp\.c_fc\.": f"{OWN_BLOCK}mlp.0.",
    rf"{BLOCK}mlp\.c_proj\.": f"{OWN_BLOCK}mlp.3.",
}


@register("vit-b16-clip", "vit-b16-clip-overlap")
class ClipVisionTransformer(VisionTransformer):
    """`vit-b16-clip`: the image encoder of CLIP, 768 channels. `vit-b16-clip-overlap`: the same with a patch every 12 pixels.

    `--weights FILE` takes the names of CLIP's own tensors.
    """

    pixel_mean = pixel_std = (0.5, 0.5, 0.5)

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        cast(nn.Sequential, self.stages["blocks"])[0] = NormalisedPatches(network)

    @classmethod
    def network(cls, name: str) -> nn.Module:
        network: Any = super().network(name.replace("-clip", ""))
        patches = network.conv_proj
        network.conv_proj = nn.Conv2d(3, patches.out_channels, patches.kernel_size, patches.stride, bias=False)
        network.ln_pre = nn.LayerNorm(network.hidden_dim)
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = EPSILON
        for block in network.encoder.layers:
            block.mlp[1] = QuickGELU()
        made: nn.Module = network
        return made

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> None:  # noqa: ARG003 - there is none
        return None

    @classmethod
    def adapt(cls, network: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file by torchvision's names. The network takes the number of positions of the file."""
        front = next((name.removesuffix(CLASS) for name in state if re.search(rf"(^|\.){CLASS}$", name)), None)
        if front is None:
            return super().adapt(network, state)
        return super().adapt(network, {_own_name(name, front): _own_shape(name, state[name]) for name in state})


def _own_name(name: str, front: str) -> str:
    """torchvision's name of a tensor of the image encoder; those of the text encoder keep theirs."""
    if not name.startswith(front):
        return name
    rest = name.removeprefix(front)
    for theirs, ours in NAMES.items():
        rest = re.sub(rf"^{theirs}", ours, rest)
    return front + rest


def _own_shape(name: str, value: Tensor) -> Tensor:
    """The class token (D,) as (1, 1, D), and positions (P, D) as (1, P, D)."""
    return value.view(1, -1, value.shape[-1]) if name.endswith((CLASS, "positional_embedding")) else value


class QuickGELU(nn.Module):
    """CLIP's activation, x sigmoid(1.702 x)."""

    def forward(self, values: Tensor) -> Tensor:
        return values * torch.sigmoid(1.702 * values)


class NormalisedPatches(Patches):
    """Images to the tokens of patches and the class token, normalised: (N, 3, H, W) to (N, 2 D, h, w)."""

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self.norm = network.ln_pre

    def forward(self, images: Tensor) -> Tensor:
        halves = super().forward(images).movedim(1, -1).chunk(2, dim=-1)
        return torch.cat([self.norm(each) for each in halves], dim=-1).movedim(-1, 1)

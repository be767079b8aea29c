"""A plug-in backbone: a small vision transformer of timm's. Between its blocks there are maps, as in any other backbone."""

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from baselines.interface import Backbone, register

CHANNELS, DEPTH = 64, 3


class Patches(nn.Module):
    """(N, 3, H, W) to (N, CHANNELS, H / 8, W / 8): patch embedding and position."""

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        self.network = nn.ModuleDict({"embed": network.patch_embed})
        self.position = network._pos_embed
        self.position_embedding = network.pos_embed

    def forward(self, images: Tensor) -> Tensor:
        grid = self.network["embed"](images)  # (N, h, w, D)
        return self.position(grid).transpose(1, 2).unflatten(2, grid.shape[1:3])


class OnMap(nn.Module):
    """A transformer block on a map (N, D, h, w)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, maps: Tensor) -> Tensor:
        return self.block(maps.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, maps.shape[2:])


@register("tiny-vit")
class TinyVit(Backbone):
    """A vision transformer of three blocks on patches of 8 pixels."""

    pixel_mean = pixel_std = (0.5, 0.5, 0.5)

    def __init__(self, network: VisionTransformer) -> None:
        blocks = [OnMap(block) for block in network.blocks]
        early = nn.Sequential(Patches(network), *blocks[:-1])
        super().__init__(
            {"blocks": early, "last": nn.Sequential(blocks[-1], OnMap(network.norm))}, (CHANNELS, CHANNELS)
        )

    @classmethod
    def network(cls, name: str) -> nn.Module:
        return VisionTransformer(
            img_size=(64, 32), patch_size=8, embed_dim=CHANNELS, depth=DEPTH, num_heads=4, num_classes=0,
            class_token=False, global_pool="avg", dynamic_img_size=True,
        )  # fmt: skip

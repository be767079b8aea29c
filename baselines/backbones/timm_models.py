"""`timm:NAME`: any model of the package timm (Wightman, 2019), an optional extra: `pip install afa-bench[timm]`."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from baselines.interface.backbone import Backbone
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest, register


@register("timm")
class TimmModel(Backbone):
    """Any model of timm, with its own pixel statistics; `pip install afa-bench[timm]`.

    The model is one stage. Where timm's own pooled vector has the channels of the map, the map is moved so that its mean over
    the image is that vector, such as the class token of a transformer.

    Longer names:
        timm:NAME: the model NAME of timm, such as timm:convnext_tiny; `--weights imagenet` means timm's own weights
    """

    def __init__(self, network: Any) -> None:
        channels = network.num_features
        super().__init__({"model": Features(network), "map": nn.Identity()}, (channels, channels))
        config = network.pretrained_cfg
        self.__dict__.update(pixel_mean=tuple(config["mean"]), pixel_std=tuple(config["std"]))

    @classmethod
    def network(cls, name: str) -> nn.Module:
        timm, model = _timm(name), _model(name)
        options: list[dict[str, Any]] = [{"dynamic_img_size": True}, {"strict_img_size": False}, {}]
        for more in options:  # a size of the image that is not the weights' own, where the model fixes one
            try:
                made: nn.Module = timm.create_model(model, pretrained=False, num_classes=0, **more)
                return made
            except TypeError:
                continue
            except RuntimeError as error:
                raise UserError(
                    f"backbone: timm has no {model!r}; {nearest(model, timm.list_models())} ({error})"
                ) from error
        raise UserError(f"backbone: timm cannot build {model!r} without a classifier")

    @classmethod
    def pretrained_file(cls, name: str, download: bool = True) -> Path | None:
        """The file of timm's weights in the cache of Hugging Face."""
        if ":" not in name:
            return None
        config = _timm(name).get_pretrained_cfg(_model(name))
        if config is None or not config.hf_hub_id:
            return None
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

        if not download:
            found = try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
            folder = Path(constants.HF_HUB_CACHE, f"models--{config.hf_hub_id.replace('/', '--')}")
            return Path(found) if isinstance(found, str) else folder / "model.safetensors"
        try:
            return Path(hf_hub_download(config.hf_hub_id, "model.safetensors"))
        except Exception as error:
            raise UserError(
                f"weights: {config.hf_hub_id} cannot be downloaded ({error}); use --weights FILE, or --weights none"
            ) from error


class Features(nn.Module):
    """A model of timm, from images (N, 3, H, W) to a map (N, D, h, w)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(images)
        maps = self._map(features, images.shape[2] / images.shape[3])
        pooled: Tensor = self.network.forward_head(features, pre_logits=True)
        if pooled.dim() != 2 or pooled.shape[1] != maps.shape[1]:
            return maps
        return maps - maps.mean(dim=(2, 3), keepdim=True) + pooled[..., None, None]

    def _map(self, features: Tensor, ratio: float) -> Tensor:
        """Maps, channels last or first, or tokens behind the model's prefix; `ratio`: height by width of the image."""
        channels = self.network.num_features
        if features.dim() == 4:
            return features if features.shape[1] == channels else features.permute(0, 3, 1, 2)
        tokens = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
        rows = round(math.sqrt(tokens.shape[1] * ratio))
        return tokens.transpose(1, 2).unflatten(2, (rows, -1))


def _model(name: str) -> str:
    return name.partition(":")[2]


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"backbone: {name} needs the package timm; `pip install afa-bench[timm]`, or choose another backbone"
        ) from error
    module: ModuleType = timm
    return module

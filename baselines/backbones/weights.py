"""Pretrained weights: files of tensors, torchvision's cache of them, and loading them by name."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.interface.errors import UserError

NONE, IMAGENET = "none", "imagenet"  # the values of the setting `weights` that are no files
CLASSIFIERS = (
    "fc.",
    "classifier.",
    "head.",
    "heads.",
)  # how the names of a classifier's tensors begin; a file may lack them

NESTED = ("state_dict", "model")  # under which training code stores the tensors beside other things


def torchvision_file(weights: str, download: bool) -> Path:
    """The file of torchvision's `weights`, as `hub_file` finds it."""
    import torchvision

    return hub_file(torchvision.models.get_weight(weights).url, download)


def hub_file(url: str, download: bool) -> Path:
    """The file of published weights in torch's cache. Its name ends in the start of its sha256, which is checked.

    Raises:
        UserError: it cannot be downloaded, or its checksum is wrong.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not download:
        return file
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), file.stem.rsplit("-", 1)[-1])
        except Exception as error:
            raise UserError(
                f"weights: {file} is missing and cannot be downloaded ({error}); put {file.name} there, "
                "or use --weights FILE, or --weights none"
            ) from error
    expected = file.stem.rsplit("-", 1)[-1]
    if not file_digest(file).startswith(expected):
        raise UserError(f"weights: {file} does not match the checksum in its name; delete it and download it again")
    return file


def file_digest(file: Path) -> str:
    """sha256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_state(file: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors or state-dict file, and the sha256 of its bytes.

    Raises:
        UserError: neither, or not tensors by name.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        inner: Any = next((state[key] for key in NESTED if isinstance(state.get(key), dict)), state)
        if not all(isinstance(value, Tensor) for value in inner.values()):
            raise TypeError("not tensors by name")
    except Exception as error:  # torch's text advises to read the file unsafely: it stays with --debug
        raise UserError(f"weights: {file} cannot be read as safetensors or a state dict of tensors") from error
    return inner, file_digest(file)


def fill(network: nn.Module, state: dict[str, Tensor], file: str) -> str:
    """Load tensors by name. Every tensor of the backbone must be there; a classifier is loaded where it fits.

    In the file all names may have the same words in front of them, such as `module.backbone.`

    Returns:
        What was loaded and what was not, in words.

    Raises:
        UserError: a tensor is missing or has another shape.
    """
    tensors = network.state_dict()
    own = {key: value for key, value in tensors.items() if not key.startswith(CLASSIFIERS)}
    prefix = _prefix(list(own), state)
    found = {key: state[prefix + key] for key in tensors if prefix + key in state}
    missing = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"weights: {file} lacks {missing[0]!r} and {len(missing) - 1} more; is it for another backbone?"
        )
    wrong = [key for key in own if key in found and found[key].shape != own[key].shape]
    if wrong:
        raise UserError(
            f"weights: {file}: {wrong[0]!r} is {tuple(found[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        )
    fitting = {key: value for key, value in found.items() if value.shape == tensors[key].shape}
    network.load_state_dict(fitting, strict=False)
    left = [key for key in state if not key.startswith(prefix) or key.removeprefix(prefix) not in fitting]
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    under = f", named {prefix}* in the file" if prefix else ""
    return f"{len(fitting)} tensors loaded{under}; not used: {', '.join(left[:3]) or 'none'}{more}"


def _prefix(own: list[str], state: dict[str, Tensor]) -> str:
    """What a file has in front of the backbone's names: the shortest text with which most of them are in it."""
    first = own[0]
    found = {key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")}
    return max(sorted(found, key=len), key=lambda prefix: sum(prefix + key in state for key in own), default="")

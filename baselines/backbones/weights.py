"""Pretrained weights: files of tensors, torchvision's cache of them, and loading them by name."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.interface.errors import UserError

NONE, IMAGENET = "none", "imagenet"  # the values of the setting `weights` that are no files
CLASSIFIERS = ("fc.", "classifier.", "head.")  # how the names of a classifier's tensors begin; it is left alone


def torchvision_file(weights: str, download: bool) -> Path:
    """The file of torchvision's `weights` in its cache. The name ends in the start of the file's sha256, which is checked.

    Raises:
        UserError: it cannot be downloaded, or its checksum is wrong.
    """
    import torchvision

    enum = torchvision.models.get_weight(weights)
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(enum.url).name
    if not download:
        return file
    if not file.exists():
        try:
            enum.get_state_dict(progress=True, check_hash=True)
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
        inner: Any = state.get("state_dict", state)
        if not all(isinstance(value, Tensor) for value in inner.values()):
            raise TypeError("not tensors by name")
    except Exception as error:  # torch's text advises to read the file unsafely: it stays with --debug
        raise UserError(f"weights: {file} cannot be read as safetensors or a state dict of tensors") from error
    return inner, file_digest(file)


def fill(network: nn.Module, state: dict[str, Tensor], file: str) -> None:
    """Load tensors by name. Every tensor of the trunk must be there; a classifier, the network's or the file's, is left alone.

    Raises:
        UserError: a tensor is missing or has another shape.
    """
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(CLASSIFIERS)}
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"weights: {file} lacks {missing[0]!r} and {len(missing) - 1} more; is it for another backbone?"
        )
    wrong = [key for key in own if key in state and state[key].shape != own[key].shape]
    if wrong:
        raise UserError(
            f"weights: {file}: {wrong[0]!r} is {tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        )
    network.load_state_dict({key: state[key] for key in own if key in state}, strict=False)

"""float32 and bf16: device support, autocast and compilation."""

import shutil
from contextlib import AbstractContextManager, nullcontext

import torch

from baselines.interface.backbone import Backbone
from baselines.interface.errors import UserError

from . import distributed
from .model import ReidModel


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """torch's autocast for "bf16", nothing for "float32"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that the device only emulates, slower than float32.

    Raises:
        UserError: "bf16" on a processor or GPU without bfloat16 arithmetic.
    """
    if precision == "float32":
        return
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not able:
        raise UserError(f"precision={precision}: this machine's {device.type} cannot; use --precision float32")


def compile_backbones(model: ReidModel) -> None:
    """Compile the two parts of each backbone where that pays: on a GPU, if there is a C compiler.

    Each batch size is compiled once, and a training has two at most. Batch normalisation over several processes would cut the
    backbone into pieces too small to be worth it.
    """
    if not next(model.parameters()).is_cuda or distributed.world() > 1 or not any(map(shutil.which, ("gcc", "clang"))):
        return
    for module in model.modules():
        if isinstance(module, Backbone):
            module.early.compile(dynamic=False)
            module.late.compile(dynamic=False)

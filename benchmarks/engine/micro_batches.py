"""Batches whose activations do not fit a GPU: the clips pass in micro-batches, and the gradient is that of the whole batch.

Each micro-batch is embedded without keeping its activations. The loss is computed from all embeddings, so that the triplet loss
sees the whole batch. Its gradient then enters each micro-batch at its embeddings, while the micro-batch is computed again (Gao et
al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021). This is exact where each clip is embedded
by itself and nothing is drawn; other models are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from afa import VideoFeatures
from baselines.interface.baseline import Baseline, Clips
from baselines.interface.errors import UserError

from . import distributed

INSTEAD = "omit --set micro_batch"


def embed_in_parts(baseline: Baseline, clips: Clips, size: int) -> VideoFeatures:
    """The features of all clips, `size` at a time. Only the features are kept; the rest is computed again for the gradient.

    Raises:
        UserError: the forward pass draws random numbers.
    """
    with _nothing_drawn(baseline, clips, size):
        parts = [
            checkpoint(baseline, Clips(*part), use_reentrant=False, preserve_rng_state=False)
            for part in zip(*(each.split(size) if each is not None else repeat(None) for each in clips), strict=False)
        ]
    return _joined(parts)


def refuse_mixed_clips(baseline: Baseline, size: int) -> None:
    """Refuse models and processes for which micro-batches would not give the gradient of the whole batch.

    Raises:
        UserError: batch normalisation in training mode, or several processes.
    """
    if not size:
        return
    if distributed.world() > 1:
        raise UserError(
            f"micro_batch={size}: needs a single process; several processes split each batch already; {INSTEAD}"
        )
    if name := batch_statistics(baseline):
        raise UserError(
            f"micro_batch={size}: {type(baseline).__name__} has batch normalisation ({name}), whose statistics are those of the "
            f"whole batch; use a backbone without it, such as vit-b16, or {INSTEAD}"
        )


@torch.no_grad()
def refuse_dependent_clips(baseline: Baseline, clips: Clips, size: int, precision: str) -> None:
    """Refuse a model that draws random numbers, or whose features of the first of these clips depend on the second.

    Raises:
        UserError: it does.
    """
    with _nothing_drawn(baseline, clips, size):
        one, two = (
            baseline(Clips(clips.frames[:count], None if clips.flow is None else clips.flow[:count]))
            for count in (1, 2)
        )
    for alone, beside in zip(_of_first_clip(one), _of_first_clip(two), strict=True):
        within = torch.finfo(torch.bfloat16 if precision == "bf16" else alone.dtype).eps ** 0.5 * float(
            alone.abs().max()
        )
        if not torch.allclose(alone, beside, rtol=0, atol=within):
            raise UserError(
                f"micro_batch={size}: the features that {type(baseline).__name__} gives a clip depend on the other clips of the "
                f"batch, so micro-batches would change the training; {INSTEAD}"
            )


def _of_first_clip(features: VideoFeatures) -> list[Tensor]:
    """All that the losses read of the first clip."""
    weights = [] if features.weights is None else [features.weights]
    tensors = [features.frames, features.coherence, *weights, *features.extras.values()]
    return [tensor[0] for tensor in tensors if tensor.is_floating_point()]


def batch_statistics(baseline: nn.Module) -> str:
    """The name of the first layer that normalises by the statistics of the batch; empty if there is none."""
    # By `train`, which a model may override to freeze its layers.
    layers = baseline.train().named_modules()
    return next((name for name, layer in layers if isinstance(layer, _BatchNorm) and layer.training), "")


@contextmanager
def _nothing_drawn(baseline: Baseline, clips: Clips, size: int) -> Iterator[None]:
    """Refuse a model that draws random numbers in the block."""
    before = _random_state(clips.frames.device)
    yield
    if not all(map(torch.equal, before, _random_state(clips.frames.device))):
        raise UserError(
            f"micro_batch={size}: the forward pass of {type(baseline).__name__} draws random numbers, for dropout for example; "
            f"in micro-batches they would differ from those of the whole batch; set dropout=0, or {INSTEAD}"
        )


def _random_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _joined(parts: list[VideoFeatures]) -> VideoFeatures:
    weights = (
        None if parts[0].weights is None else torch.cat([part.weights for part in parts if part.weights is not None])
    )
    extras = {name: torch.cat([part.extras[name] for part in parts]) for name in parts[0].extras}
    frames, coherence = (torch.cat([getattr(part, name) for part in parts]) for name in ("frames", "coherence"))
    return VideoFeatures(frames, coherence, weights, extras)


@contextmanager
def naming_setting(advice: str) -> Iterator[None]:
    """In the block, a GPU that runs out of memory is reported in one line with `advice`: the setting to change.

    Raises:
        UserError: the GPU has run out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        wanted = next((part for part in str(error).split(". ") if part.startswith("Tried to allocate")), "")
        raise UserError(
            f"the GPU is out of memory{f' ({wanted[0].lower()}{wanted[1:]})' if wanted else ''}; {advice}"
        ) from error


def advice_for_training(baseline: nn.Module, clips: int, size: int) -> str:
    """Which settings make a step need less memory.

    Args:
        clips: of a batch.
        size: the setting `micro_batch`.
    """
    others = "a lower clip_frames, or height and width, or --precision bf16"
    if batch_statistics(baseline) or distributed.world() > 1:
        return f"a batch has {clips} clips: lower identities or clips, or use {others}"
    smaller = max(1, (min(size, clips) or clips) // 2)
    return f"--set micro_batch={smaller} passes fewer clips at a time and gives the same gradient; or use {others}"

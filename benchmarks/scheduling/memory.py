"""The GPU memory of a training step, estimated before the run without a GPU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.interface.baseline import Clips
from benchmarks.data.find import find_dataset
from benchmarks.engine.micro_batches import refuse_mixed_clips
from benchmarks.engine.model import ReidModel, build_model
from benchmarks.experiments.settings import Settings, change
from benchmarks.suites.suite import Planned

from .selection import Selection

FLOAT, BFLOAT = 4, 2  # bytes of a value
# Beside each weight: its gradient, and what the optimizer keeps.
BYTES_PER_WEIGHT = {"adam": 4 * FLOAT, "adamw": 4 * FLOAT, "sgd": 3 * FLOAT}


def estimate_memory(method: str, dataset: str, settings: Settings) -> int | None:
    """About how many bytes a training step holds at its peak. None where the model cannot be traced.

    The GPU's own context and the workspaces of its libraries come on top: about half a GiB.
    """
    classes = find_dataset(dataset).published.get("train", {}).get("identities", settings.identities)
    for device in ("meta", "cpu"):  # the first computes shapes alone, which some models do not survive
        try:
            with torch.device(device):
                model, _ = build_model(method, classes, change(settings, {"weights": "none"}, method), seed=0)
            return step_memory(model)
        except RuntimeError:
            continue
    return None


def memory_texts(selection: Selection, planned: Sequence[Planned]) -> list[str]:
    """The estimate for each experiment as a text; equal ones are computed once."""
    known: dict[tuple[str, str, Settings], str] = {}
    texts = []
    for each, (method, settings) in zip(planned, selection.settings_of(planned), strict=True):
        key = (method, each.experiment.dataset, settings)
        if key not in known:
            known[key] = memory_text(*key)
        texts.append(known[key])
    return texts


def memory_text(method: str, dataset: str, settings: Settings) -> str:
    """The estimate in GiB."""
    size = estimate_memory(method, dataset, settings)
    return "unknown" if size is None else f"about {size / 2**30:.1f} GiB"


def step_memory(model: ReidModel) -> int:
    """Bytes at the peak of a training step of a model, on any device: the sum of

    - its weights, their gradients and the optimizer's state, and for bf16 a copy of the weights;
    - the frames of the batch, as they come (uint8) and normalised;
    - the activations of all layers that the backward pass needs, measured with two and with four clips;
    - twice the largest of them, for the gradients that flow through it.

    Raises:
        UserError: micro-batches are refused for this model.
    """
    settings = model.settings
    refuse_mixed_clips(model.baseline, settings.micro_batch)
    clips = settings.identities * settings.clips
    at_once = min(settings.micro_batch or clips, clips)
    bf16 = settings.precision == "bf16"
    weights = sum(weight.numel() for weight in model.parameters())
    two, four = (_saved(model.train(), count) for count in (2, 4))
    activations = sum(two) + (sum(four) - sum(two)) * (at_once - 2) / 2
    largest = max(four) * at_once / 4
    pixels = clips * settings.clip_frames * 3 * settings.height * settings.width
    values = activations + 2 * largest
    return int(
        weights * (BYTES_PER_WEIGHT[settings.optimizer] + BFLOAT * bf16)
        + pixels * (1 + FLOAT)
        + values * (BFLOAT if bf16 else FLOAT)
    )


def _saved(model: ReidModel, count: int) -> list[int]:
    """The numbers of values of each tensor that a forward pass of `count` clips keeps, without weights and frames."""
    settings, device = model.settings, next(model.parameters()).device
    size = (settings.height, settings.width)
    frames = torch.zeros(count, settings.clip_frames, 3, *size, device=device)
    fields = model.baseline.flow_fields
    flow = torch.zeros(count, settings.clip_frames, fields, 2, *size, device=device) if fields else None
    known = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers(), frames)}
    kept: dict[int, Tensor] = {}  # the tensors themselves, so that none is freed and another takes its place

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in known:
            kept[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.baseline(Clips(frames, flow))
    return [tensor.untyped_storage().nbytes() // FLOAT for tensor in kept.values()]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)

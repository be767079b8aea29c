"""The optimizer of a training, its precision, and the schedule of its learning rate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.optim import OptimWrapper

from baselines.interface.backbone import Backbone
from benchmarks.experiments.settings import Settings

from . import distributed
from .model import ReidModel
from .precision import autocast

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}
LIMITS = {"norm": "max_norm", "value": "clip_value"}  # as torch's clip_grad_norm_ and clip_grad_value_ name them


class PrecisionWrapper(OptimWrapper):
    """Forward pass and loss under autocast for bf16; mmengine's own wrapper refuses the CPU."""

    def __init__(self, optimizer: torch.optim.Optimizer, settings: Settings) -> None:
        limit, by = settings.gradient_limit, settings.gradient_limit_by
        super().__init__(optimizer, clip_grad={"type": by, LIMITS[by]: limit} if limit else None)
        self.precision = settings.precision

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(self.precision, next(model.parameters()).device):
            yield

    def step(self, **options: Any) -> None:
        """One step with the mean gradient of all processes."""
        distributed.average_gradients(p for group in self.optimizer.param_groups for p in group["params"])
        super().step(**options)


def make_optimizer(model: ReidModel) -> torch.optim.Optimizer:
    """The optimizer of all parameters; those of the backbones, with what is inserted in them, are its first group.

    The paper's is Adam with L2 weight decay (section 3.3). In float32 torch chooses the implementation.
    """
    settings = model.settings
    trunks = [module for module in model.modules() if isinstance(module, Backbone)]
    # A dict: two baselines may share a backbone, and a backbone its weights; a group holds a parameter once, in order.
    inside = dict.fromkeys(weight for trunk in trunks for weight in trunk.parameters())
    groups = [
        {"params": list(inside), "lr": settings.lr * settings.backbone_lr},
        {"params": [weight for weight in model.parameters() if weight not in inside]},
    ]
    fused = True if settings.precision == "bf16" else None
    return OPTIMIZERS[settings.optimizer](groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)


def schedules(settings: Settings, per_epoch: int) -> list[dict[str, Any]]:
    """mmengine's schedulers of the learning rate, which multiply: the schedule, and the warm-up if there is one.

    Both count from the first epoch and act in every iteration; a step comes with the first iteration after its epoch.
    """
    epochs = settings.milestones.split(",") if settings.milestones != "none" else []
    kinds: dict[str, dict[str, Any]] = {
        "step": {"type": "StepLR", "step_size": settings.lr_step * per_epoch, "gamma": settings.lr_gamma},
        "milestones": {
            "type": "MultiStepLR",
            "milestones": [int(epoch) * per_epoch for epoch in epochs],
            "gamma": settings.lr_gamma,
        },
        "cosine": {"type": "CosineAnnealingLR", "T_max": settings.epochs * per_epoch},
    }
    chosen = [kinds[settings.schedule]]
    if settings.warmup_epochs:  # mmengine's end is exclusive: the rate is the schedule's from this iteration on
        end = settings.warmup_epochs * per_epoch + 1
        chosen.append({"type": "LinearLR", "start_factor": settings.warmup_start, "end": end})
    return [{**each, "by_epoch": False} for each in chosen]

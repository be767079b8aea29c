"""The optimizer of a training, its precision, and the schedule of its learning rate."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.optim import OptimWrapper

from baselines.interface.backbone import Backbone
from baselines.interface.errors import UserError
from baselines.interface.registry import nearest
from benchmarks.experiments.settings import Settings

from . import distributed
from .model import ReidModel, code_place
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
    """The optimizer of all parameters, in groups: those of the backbones, with what is inserted in them; the groups of the
    baseline; and the others.

    The paper's is Adam with L2 weight decay (section 3.3). In float32 torch chooses the implementation.

    Raises:
        UserError: the baseline's groups are wrong; the message names the file and line of its method.
    """
    settings = model.settings
    trunks = [module for module in model.modules() if isinstance(module, Backbone)]
    # A dict: two baselines may share a backbone, and a backbone its weights; a group holds a parameter once, in order.
    own = _own_groups(model)
    taken = {weight for group in own for weight in group["params"]}
    inside = dict.fromkeys(weight for trunk in trunks for weight in trunk.parameters() if weight not in taken)
    groups = [
        {"params": list(inside), "lr": settings.lr * settings.backbone_lr},
        *own,
        {"params": [weight for weight in model.parameters() if weight not in inside and weight not in taken]},
    ]
    fused = True if settings.precision == "bf16" else None
    return OPTIMIZERS[settings.optimizer](groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)


def _own_groups(model: ReidModel) -> list[dict[str, Any]]:
    """The groups of the baseline's own, after a check that each holds parameters of the model that no other holds, and options
    that the optimizer has.
    """
    settings = model.settings
    where = f"{code_place(type(model.baseline).parameter_groups)}: parameter_groups"
    options = inspect.signature(OPTIMIZERS[settings.optimizer]).parameters
    free, groups = set(model.parameters()), []
    for group in model.baseline.parameter_groups(settings.lr):
        if unknown := [option for option in group if option not in options]:
            raise UserError(
                f"{where}: {settings.optimizer} has no option {unknown[0]!r}; {nearest(unknown[0], list(options))}"
            )
        weights = list(group.get("params", ()))
        if not weights or not free.issuperset(weights) or len(set(weights)) < len(weights):
            raise UserError(
                f"{where}: each group needs params, a list of the model's parameters that no other group has"
            )
        free -= set(weights)
        groups.append({**group, "params": weights})
    return groups


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

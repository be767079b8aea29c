"""Groups of parameters with options of a baseline's own."""

import pytest
import torch

from baselines.interface.errors import UserError
from benchmarks.engine.model import build_model
from benchmarks.engine.optimizer import make_optimizer
from benchmarks.experiments.settings import resolve


def model_with(groups):
    """QAN whose parameter groups are what `groups` returns of it and the learning rate."""
    model = build_model("qan", 3, resolve("small", "qan", ["lr=0.01", "backbone_lr=0.5", "weight_decay=0.1"]), seed=0)[
        0
    ]
    kind = type(model.baseline)
    model.baseline.__class__ = type("Grouped", (kind,), {"parameter_groups": groups})
    return model


def test_a_group_has_its_own_options_and_the_others_keep_theirs():
    def groups(self, lr):
        first = next(iter(self.backbone.stages.values()))
        return [{"params": first.parameters(), "lr": lr / 100, "weight_decay": 0.0}]

    model = model_with(groups)
    first = {id(weight) for weight in next(iter(model.baseline.backbone.stages.values())).parameters()}
    of_backbone = {id(weight) for weight in model.baseline.backbone.parameters()}
    seen = []
    for group in make_optimizer(model).param_groups:
        for weight in group["params"]:
            seen.append(id(weight))
            rate = 0.0001 if id(weight) in first else 0.005 if id(weight) in of_backbone else 0.01
            assert group["lr"] == pytest.approx(rate)
            assert group["weight_decay"] == (0.0 if id(weight) in first else 0.1)
    assert sorted(seen) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda self, lr: [{"params": self.parameters(), "learning_rate": lr}], "adam has no option 'learning_rate'"),
        (lambda self, lr: [{"params": [torch.nn.Parameter(torch.zeros(1))]}], "a list of the model's parameters"),
        (lambda self, lr: [{"params": self.parameters()}] * 2, "that no other group has"),
        (lambda self, lr: [{"lr": lr}], "each group needs params"),
    ],
)
def test_wrong_groups(groups, message):
    with pytest.raises(UserError, match=f"test_optimizer.py, line .*{message}"):
        make_optimizer(model_with(groups))

"""Where systems that extend ResNet-50's middle layers insert their modules, in any backbone."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from baselines.interface.backbone import Backbone

LAYER2, LAYER3 = 4, 6  # blocks of ResNet-50's second and third layer


def middle_blocks(backbone: Backbone) -> tuple[list[str], list[str]]:
    """The names of the blocks of the two stages before the last, layer2 and layer3 of a ResNet, in order.

    At most the last 4 and the last 6, as many as ResNet-50 has. A stage of single layers counts as one block. A backbone with
    one stage before the last, such as `mobilenet_v2`, has no blocks in the first list.
    """

    def of(stage: str) -> list[str]:
        blocks = {name: block for name, block in backbone.blocks.items() if f"{name}.".startswith(f"{stage}.")}
        return [stage] if any(isinstance(block, nn.Conv2d) for block in blocks.values()) else list(blocks)

    first, second = ([], *map(of, list(backbone.stages)[-3:-1]))[-2:]
    return first[-LAYER2:], second[-LAYER3:]


@torch.no_grad()
def output_shapes(backbone: Backbone, names: Iterable[str], size: tuple[int, int] = (64, 32)) -> list[tuple[int, ...]]:
    """(C, h, w) of what some stages or blocks give of an image of `size`. Leaves the backbone as it is."""
    modules, training = {**backbone.stages, **backbone.blocks}, backbone.training
    shapes: dict[str, tuple[int, ...]] = {}

    def noting(name: str) -> None:
        def note(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        hooks.append(modules[name].register_forward_hook(note))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for name in (wanted := list(names)):
        noting(name)
    backbone.eval()(torch.zeros(1, 3, *size))
    backbone.train(training)
    for hook in hooks:
        hook.remove()
    return [shapes[name] for name in wanted]

"""Which parts of a backbone are trained, and how fast: for fine-tuning pretrained weights.

Parts are counted from the input: 0 is the stem, then come the stages that take attention, from 1, and last the head.
Attention in a frozen stage is new, so it is trained, and at the full rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network.layout import Layout
from chattn_nas.network.slots import stage_around

STEM = "stem"


def parts_of(model: nn.Module, plan: Layout) -> dict[int, list[nn.Parameter]]:
    """The parameters of a backbone without attention, by part.

    A module belongs to the innermost stage that contains it, or to the first that is defined after it; before the first
    block it belongs to the stem, behind the last stage to the head.
    """
    order = {path: index for index, (path, _) in enumerate(model.named_modules())}
    names = [stage.name for stage in plan.stages]
    first = min(order[block.path] for block in plan.blocks[0]) if plan.blocks else 0
    parts: dict[int, list[nn.Parameter]] = {part: [] for part in range(len(names) + 2)}
    for path, module in model.named_modules():
        if (stage := stage_around(path, names)) is not None:
            part = 1 + names.index(stage)
        elif order[path] < first:
            part = 0
        else:
            part = next((i for i, name in enumerate(names, 1) if order[name] >= order[path]), len(names) + 1)
        parts[part].extend(module.parameters(recurse=False))
    return parts


def freeze(parts: Mapping[int, Iterable[nn.Parameter]], wanted: Sequence[str | int]) -> None:
    """Freeze these parts.

    Raises:
        BackboneError: The backbone lacks one of them.
    """
    possible = (STEM, *range(1, len(parts) - 1))
    for index, name in enumerate(wanted):
        if name not in possible:
            raise BackboneError(
                f"the backbone has no part {name!r} to freeze", where=("freeze", index), value=name, choices=possible
            )
        for parameter in parts[0 if name == STEM else int(name)]:
            parameter.requires_grad_(False)


def rate_factors(
    network: nn.Module, parts: Mapping[int, Iterable[nn.Parameter]], layer_decay: float
) -> dict[str, float]:
    """Factors of the learning rate by name of the backbone's parameters; all others have 1.

    The head has 1, the last stage ``layer_decay``, the one before its square, and so on to the stem (Howard, Ruder,
    2018, "Universal Language Model Fine-tuning for Text Classification").
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    last = len(parts) - 1
    return {
        names[id(parameter)]: layer_decay ** (last - part)
        for part, parameters in parts.items()
        for parameter in parameters
        if id(parameter) in names and part < last
    }

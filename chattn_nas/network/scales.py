"""The scale of the maps behind the attentions of a network, stage by stage."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

from torch import Tensor, nn

from chattn_nas.network.start import AttentionSlot, SlotStart, rms, start_at_unit, undisturbed


def remaining_ratios(network: nn.Module, images: Tensor) -> dict[int, float]:
    """The scale of the map behind an attention at the start, relative to the map without it, by stage from 1.

    Ratios of root mean squares, geometric mean over the stage; 1 if a norm follows. The network is not changed.

    Args:
        network: An untrained network with the official or the identity start.
        images: A batch (B, C, H, W) of normalised training images, on the network's device.
    """
    if not getattr(network, "attention_slots", ()):
        return {}
    return ratios_of(start_at_unit(copy.deepcopy(network), images), corrected=False)


def ratios_of(starts: Iterable[SlotStart], *, corrected: bool = True) -> dict[int, float]:
    """The same, from the results of ``start_at_unit``: with its corrections, or without them."""
    logs: dict[int, list[float]] = {}
    for one in starts:
        felt = one.where not in ("norm follows", "no map")
        done = corrected and one.where != "as it is"
        logs.setdefault(one.slot.stage + 1, []).append(math.log(one.ratio) if felt and not done else 0.0)
    return {stage: math.exp(sum(values) / len(values)) for stage, values in logs.items()}


def scales_behind(network: nn.Module, images: Tensor) -> dict[int, float]:
    """Root mean square of the map behind an attention in train mode, mean over the stage, by stage from 1.

    Args:
        network: A network from ``build_network``; left as it was.
        images: As above.
    """
    slots: tuple[AttentionSlot, ...] = getattr(network, "attention_slots", ())
    if not slots:
        return {}
    scales: dict[int, list[float]] = {}
    hooks = []
    for slot in slots:
        values = scales.setdefault(slot.stage + 1, [])
        module = network.get_submodule(slot.path)
        hooks.append(module.register_forward_hook(lambda _m, _a, y, values=values: values.append(rms(y))))
    try:
        with undisturbed(network):
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {stage: sum(values) / len(values) for stage, values in scales.items() if values}

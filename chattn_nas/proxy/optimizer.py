"""SGD with decoupled groups, and the schedule of its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from chattn_nas.proxy.settings import ProxySettings

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def without_weight_decay(network: nn.Module) -> set[str]:
    """Names of the parameters that must not decay: biases, norms, and what a module exempts.

    A module exempts by ``no_weight_decay``, a method as in timm or a tuple of names relative to itself.
    """
    names = set()
    for prefix, module in network.named_modules():
        exempt = getattr(module, "no_weight_decay", ())
        exempt = exempt() if callable(exempt) else exempt
        own = [name for name, _ in module.named_parameters(recurse=False)]
        exempt = {*exempt, *(own if isinstance(module, _NORMS) else [n for n in own if n == "bias"])}
        names |= {f"{prefix}.{name}" if prefix else name for name in exempt}
    return names


def build_optimizer(network: nn.Module, settings: ProxySettings) -> torch.optim.SGD:
    """SGD with Nesterov momentum over the trainable parameters of ``network``."""
    exempt = without_weight_decay(network)
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if name not in exempt], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in trained if name in exempt], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate * settings.batch_size / 128,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        foreach=True,
    )


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor of the peak learning rate at a step of one rung: linear rise, then half a cosine down to zero."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - 1 - rise)))

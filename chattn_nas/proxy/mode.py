"""Train mode of a network with frozen parts."""

from __future__ import annotations

from torch import nn


def train_mode(network: nn.Module) -> None:
    """Like ``network.train()``, but frozen norms keep their statistics."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            own = list(module.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()

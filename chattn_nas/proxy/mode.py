"""Train mode of a network of which parts are frozen."""

from __future__ import annotations

from torch import nn


def train_mode(network: nn.Module) -> None:
    """As ``network.train()``, but norms that are frozen keep the statistics they have."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            own = list(module.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()

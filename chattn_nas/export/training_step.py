"""One step of training, the same in the searching process and in the clean one."""

from __future__ import annotations

import torch


def training_step(network: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits in training mode, and every weight and statistic after one SGD step on them.

    Random layers (dropout, drop path) draw from a generator seeded here.

    Args:
        network: Put into training mode and changed by the step.
        images: (B, C, H, W).

    Returns:
        ``training`` (the logits) and ``state.NAME`` for each entry of the state dict.
    """
    network.train().requires_grad_(True)
    torch.manual_seed(0)
    logits = network(images)
    labels = torch.arange(len(logits)) % logits.shape[1]
    torch.nn.functional.cross_entropy(logits, labels).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
    state = {f"state.{name}": value.detach().clone() for name, value in network.state_dict().items()}
    return {"training": logits.detach(), **state}

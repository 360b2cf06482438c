"""One training step, the same in this process and in the clean one, which runs the text of this file."""

from __future__ import annotations

from typing import Any

import torch


def tensors(output: Any) -> list[torch.Tensor]:
    """The tensors in a network's output: one, or those in lists, tuples and dicts, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for part in output for tensor in tensors(part)] if isinstance(output, list | tuple) else []


def numbered(name: str, output: Any) -> dict[str, torch.Tensor]:
    """The tensors of ``output`` as ``NAME.0``, ``NAME.1``, ..."""
    return {f"{name}.{index}": tensor.detach() for index, tensor in enumerate(tensors(output))}


def training_step(network: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The output of the network in training mode, every gradient, and every weight and statistic after one SGD step.

    The loss pulls all outputs towards fixed values, so that it works for any network. Random layers (dropout, drop
    path) draw from a generator that is seeded here. Statistics are those of the forward: what checkpointing computes
    again for the gradients counts once.

    Args:
        network: The network; put into training mode and changed by the step.
        images: (B, C, H, W).

    Returns:
        ``training.0``, ... (its outputs), ``gradients.NAME`` for each parameter (zeros where there is none) and
        ``state.NAME`` for each entry of the state dict.
    """
    network.train().requires_grad_(True)
    torch.manual_seed(0)
    output = network(images)
    loss = torch.zeros(())
    for tensor in tensors(output):
        if tensor.requires_grad and tensor.numel():
            target = torch.linspace(-1, 1, tensor.numel()).reshape(tensor.shape)
            loss = loss + (tensor.float() - target).square().mean()
    seen = {f"state.{name}": value.detach().clone() for name, value in network.named_buffers()}
    loss.backward()
    gradients = {
        f"gradients.{name}": torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in network.named_parameters()
    }
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
    state = {f"state.{name}": value.detach().clone() for name, value in network.state_dict().items()}
    return (
        numbered("training", output)
        | gradients
        | state
        | {name: value for name, value in seen.items() if name in state}
    )

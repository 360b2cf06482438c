"""Auxiliary losses: modules whose logits add to the training loss.

An :class:`~chattn_nas.attention.AuxiliaryHead`, such as the head of EncNet's context encoding module, gives logits
(B, classes) of the presence of every class in the image wherever its network calls it. Hooks record them during one
forward pass, so nothing is kept in a module: copies, threads and exported networks are unaffected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention import AuxiliaryHead

#: Weight and logits of every auxiliary head that a forward called.
Heard = list[tuple[float, Tensor]]


class AuxiliaryHeads:
    """The auxiliary heads of a network.

    Args:
        network: Searched once for heads; one with weight 0 is left out, so it has no gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        self.heads = [m for m in network.modules() if isinstance(m, AuxiliaryHead) and m.loss_weight > 0]

    @contextmanager
    def heard(self) -> Iterator[Heard]:
        """Record the logits of the heads that a forward pass inside calls; hooks are removed at the end."""
        head_logits: Heard = []

        def hear(module: AuxiliaryHead, arguments: Any, logits: Tensor) -> None:
            head_logits.append((module.loss_weight, logits))

        hooks = [head.register_forward_hook(hear) for head in self.heads]
        try:
            yield head_logits
        finally:
            for hook in hooks:
                hook.remove()


class WithAuxiliary(nn.Module):
    """A network that gives the logits of its auxiliary heads beside its output.

    Args:
        network: Any network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.auxiliary = network, AuxiliaryHeads(network)

    def forward(self, images: Tensor) -> tuple[Any, Heard]:
        """(B, C, H, W) to the network's output, and what its heads gave."""
        with self.auxiliary.heard() as heard:
            return self.network(images), heard


def presence_loss(heard: Heard, targets: Tensor) -> Tensor | float:
    """Weighted binary cross-entropies of the presence of every class; 0 if no head was called.

    Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal, "Context Encoding for Semantic Segmentation" (2018): SE-loss.

    Args:
        heard: The result of :meth:`AuxiliaryHeads.heard`.
        targets: Labels (B,), or class shares (B, classes): a class with any share is present.
    """
    loss: Tensor | float = 0.0
    for weight, logits in heard:
        present = targets > 0 if targets.ndim > 1 else F.one_hot(targets, logits.shape[1])
        loss = loss + weight * F.binary_cross_entropy_with_logits(logits.float(), present.float())
    return loss

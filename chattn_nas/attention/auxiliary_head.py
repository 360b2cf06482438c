"""The marker of auxiliary heads: parts of an attention that only training needs."""

from __future__ import annotations

from torch import nn


class AuxiliaryHead(nn.Module):
    """Base of a module that computes logits (B, classes) for a loss of its own.

    Training adds binary cross-entropy on the presence of every class, weighted by ``loss_weight``, wherever the network
    calls such a module. It is counted neither in parameters nor in MACs. Only subclasses are heads: a ``loss_weight``
    of another class means nothing here.

    Attributes:
        loss_weight: Weight of its loss; with 0 it is never trained.
    """

    loss_weight: float = 0.0

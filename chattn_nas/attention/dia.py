"""DIANet: Dense-and-Implicit Attention Network. Huang, Liang, Liang, Yang (2020).

One cell for all blocks of a stage; block t gates its map x by the cell's output h, and hands (h, c) to the next::

    i, f, g, o = MLP_x(z) + MLP_h(h'),   z = global average pooling of x
    MLP = Linear(C, C // r), relu, Linear(C // r, 4 C)
    c = sigmoid(f) c' + sigmoid(i) tanh(g),   h = sigmoid(o) sigmoid(c),   y = x * h

h' and c' are 0 at the first block, at every forward. Unlike torch's LSTMCell the layers are bottlenecks and the output
passes a sigmoid (``gate: tanh`` takes the usual one). Parameters 2 (5 C C // r + C // r + 4 C) for the whole stage;
MACs 10 C C // r per block. Official place: after the last norm of a block, before the residual add; r = 4. Source:
``models/cifar/dia_resnet.py`` of gbup-group/DIANet, whose dropout has no effect.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average
from chattn_nas.attention.precision import without_autocast
from chattn_nas.attention.registry import Hyperparameter, register
from chattn_nas.attention.width import hidden_width

State = tuple[Tensor, Tensor]


@register(
    "dia",
    title="DIANet: Dense-and-Implicit Attention Network",
    year=2020,
    paper="arXiv:1905.10671",
    hyperparameters={
        "reduction": Hyperparameter(4, 1, 2, 8, 16, minimum=1),
        "gate": Hyperparameter("sigmoid", "tanh"),
    },
    parameters=lambda c, _, v: 2 * (5 * c * hidden_width(c, v["reduction"]) + hidden_width(c, v["reduction"]) + 4 * c),
    macs=lambda c, _, v: 10 * c * hidden_width(c, v["reduction"]),
    canonical=largest_reduction,
    scope="stage",
    placements=("before_add", "before_block", "after_add"),
)
class DIA(nn.Module):
    """Dense-and-implicit attention on maps of shape (B, C, H, W); one module serves all blocks of a stage.

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        gate: What the cell's state passes on its way out, ``sigmoid`` or ``tanh``.
    """

    def __init__(self, channels: int, *, reduction: int = 4, gate: str = "sigmoid") -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduction = reduction
        self.gate = gate
        self.of_input = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 4 * channels))
        self.of_hidden = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 4 * channels))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, C, H, W), and (h, c) of shape (B, C) each from the block before, to the same."""
        state = self.step(average(x), state)
        return x * state[0].to(x.dtype)[:, :, None, None], state

    def step(self, z: Tensor, state: State | None = None) -> State:
        """The cell alone: pooled features (B, C) and the state before to the state after."""
        with without_autocast(z):  # rounding would add up from block to block
            z = z.to(next(self.of_input.parameters()).dtype)
            h, c = (torch.zeros_like(z), torch.zeros_like(z)) if state is None else state
            i, f, g, o = (self.of_input(z) + self.of_hidden(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return o.sigmoid() * (c.sigmoid() if self.gate == "sigmoid" else c.tanh()), c

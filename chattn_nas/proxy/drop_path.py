"""Stochastic depth during a training, in any network whose blocks have a place for it.

Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth" (2016); rates rise evenly from 0 at the first
block to the given one at the last, as in timm. The modules have no weights and are removed at the end, so that a
network is stored, scored and exported as if they had never been there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from timm.layers import DropPath
from torch import nn

from chattn_nas.errors import InputError

#: What timm's blocks call the end of a residual branch, of blocks with several the ends.
_NAME = re.compile(r"drop_path\d?")


def places(network: nn.Module) -> list[tuple[nn.Module, list[str]]]:
    """The blocks of a network with the names of their places, in order."""
    blocks = []
    for block in network.modules():
        names = {*block._modules, *(name for name, value in vars(block).items() if value is None)}
        place_names = sorted(name for name in names if _NAME.fullmatch(name))
        if place_names:
            blocks.append((block, place_names))
    return blocks


def check(network: nn.Module, section: str = "proxy") -> None:
    """Check that ``drop_path`` has an effect.

    Args:
        network: Any network.
        section: Section of the spec that asks for it, for the error.

    Raises:
        InputError: No block has a place for it, or one has stochastic depth already.
    """
    where = (section, "drop_path")
    if not places(network):
        raise InputError(
            f"{section}.drop_path: no block of this backbone has a residual branch that timm's drop path belongs to",
            where=where,
        )
    if any(isinstance(module, DropPath) and module.drop_prob for module in network.modules()):
        raise InputError(
            f"{section}.drop_path and the backbone's own drop_path_rate contradict each other", where=where
        )


@contextmanager
def dropped(network: nn.Module, rate: float) -> Iterator[None]:
    """Drop branches in train mode inside the context.

    Args:
        network: Changed, and restored at the end.
        rate: Rate of the last block; 0 does nothing.
    """
    undo: list[Callable[[], None]] = []
    known: set[int] = set()
    blocks = places(network) if rate else []
    try:
        for (block, names), share in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
            for name in names:
                held = getattr(block, name)
                if held is None or isinstance(held, nn.Identity | DropPath):
                    setattr(block, name, DropPath(share).train(block.training))
                    undo.append(partial(setattr, block, name, held))
                elif id(held) not in known:  # attention sits there: its output is what is dropped
                    known.add(id(held))
                    undo.append(held.register_forward_hook(_Dropping(share)).remove)
        yield
    finally:
        for one in undo:
            one()


class _Dropping:
    """A forward hook that drops branches."""

    def __init__(self, rate: float) -> None:
        self.drop = DropPath(rate)

    def __call__(self, module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        """Return the branch, dropped for some samples."""
        return self.drop.train(module.training)(output)

"""A network of two parts: the backbone's maps, with attention, and the head of a task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.network import FeatureExtractor
from chattn_nas.network.build import derived_seed

#: What ``build_network`` leaves on a network for others.
FACTS = ("architecture", "start_ratios", "loaded")


class MapsAndHead(nn.Module):
    """Images (B, C, H, W) to the output of the head.

    Args:
        body: Computes the maps.
        head: Takes the list of maps.
    """

    def __init__(self, body: FeatureExtractor, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Tensor) -> Any:
        """The output of the head."""
        return self.head(self.body(x))


def composed(network: nn.Module, whole: nn.Module, path: str) -> nn.Module:
    """Return ``whole``, which holds ``network`` at ``path``, with the attributes that ``build_network`` sets."""
    for name in FACTS:
        if hasattr(network, name):
            setattr(whole, name, getattr(network, name))
    left_out = getattr(whole.get_submodule(path.rpartition(".")[0]), "left_out", ())
    whole.attention_slots = tuple(  # type: ignore[assignment]
        replace(slot, path=f"{path}.{slot.path}", block=f"{path}.{slot.block}")
        for slot in getattr(network, "attention_slots", ())
        if slot.path not in left_out
    )
    factors = getattr(network, "rate_factors", None)
    if factors is not None:
        whole.rate_factors = {f"{path}.{name}": factor for name, factor in factors.items()}  # type: ignore[assignment]
    return whole.train()


@contextmanager
def drawn_apart(seed: int) -> Iterator[None]:
    """Draw everything inside under a seed for heads, the same for all networks of one training seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "head of the task"))
        yield

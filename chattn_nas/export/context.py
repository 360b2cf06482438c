"""What every format's writer gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from chattn_nas.export.card import Card, Facts
from chattn_nas.space import Architecture


@dataclass(frozen=True, kw_only=True)
class Context:
    """One export.

    Attributes:
        network: On the CPU, float32, evaluation mode; a writer does not change it.
        architecture: What it was built from.
        folder: Where to write.
        card, facts: What goes with it.
        images: An example batch (2, C, H, W).
        max_difference: Above it a proof fails.
    """

    network: nn.Module
    architecture: Architecture
    folder: Path
    card: Card
    facts: Facts
    images: torch.Tensor
    max_difference: float

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """The weights, each with memory of its own."""
        return {name: value.detach().clone().contiguous() for name, value in self.network.state_dict().items()}

    @property
    def preprocessing(self) -> dict[str, object]:
        """How an image becomes input, as plain JSON values."""
        return {
            "in_chans": self.facts.in_chans,
            "image_size": list(self.facts.image_size),
            "mean": list(self.card.mean),
            "std": list(self.card.std),
            "interpolation": self.card.interpolation,
            "class_names": list(self.card.class_names),
        }

    def batches(self) -> list[torch.Tensor]:
        """Batches of 1, 2 and 3 images to compare on."""
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(size, *self.images.shape[1:], generator=generator) for size in (1, 2, 3)]

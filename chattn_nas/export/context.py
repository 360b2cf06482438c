"""The arguments and the result of every format's writer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from chattn_nas.export.card import Card, Facts
from chattn_nas.export.usage import Usage
from chattn_nas.space import Architecture


@dataclass(frozen=True, kw_only=True)
class Context:
    """One export.

    Attributes:
        network: The network on the CPU, float32, in evaluation mode; a writer does not change it.
        architecture: The architecture of the network.
        folder: Folder to write to.
        card, facts: Contents of the model card.
        usage: The purpose of the network.
        images: An example batch (2, C, H, W).
        max_difference: Largest difference that a proof accepts.
    """

    network: nn.Module
    architecture: Architecture
    folder: Path
    card: Card
    facts: Facts
    usage: Usage
    images: torch.Tensor
    max_difference: float

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """The weights, without shared memory."""
        return {name: value.detach().clone().contiguous() for name, value in self.network.state_dict().items()}

    @property
    def result(self) -> str:
        """Name of the variable for the network's output in examples."""
        return self.usage.outputs[0] if len(self.usage.outputs) == 1 else "outputs"

    @property
    def meaning(self) -> str:
        """Input and output of the network, as a comment in examples."""
        height, width = self.facts.image_size
        taken = f"float images (B, {self.facts.in_chans}, {height}, {width}), normalised as below"
        return f"  # {taken}, give {self.usage.gives}"

    @property
    def preprocessing(self) -> dict[str, object]:
        """The preprocessing of images, as plain JSON values."""
        card = self.card
        return {
            "in_chans": self.facts.in_chans,
            "image_size": list(self.facts.image_size),
            "mean": list(card.mean),
            "std": list(card.std),
            "resize": card.resize,
            "interpolation": card.interpolation,
            "background": card.background,
            "range": card.value_range and list(card.value_range),
            "class_names": list(card.class_names),
        }

    def batches(self) -> list[torch.Tensor]:
        """Batches of 1, 2 and 3 images to compare on."""
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(size, *self.images.shape[1:], generator=generator) for size in (1, 2, 3)]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The result of writing one format.

    Attributes:
        files: Description of each file, by name.
        differences: Largest difference from the network, by check.
        use: How to use the files, in Markdown.
        credit: A sentence on whose work the files contain, for the card.
    """

    files: Mapping[str, str]
    differences: Mapping[str, float] = field(default_factory=dict)
    use: str = ""
    credit: str = ""


def python(*lines: str) -> str:
    """Format lines of Python as a block of Markdown."""
    return "\n".join(["```python", *lines, "```"])

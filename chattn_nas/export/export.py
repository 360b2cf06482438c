"""Writes a network into a folder that needs only torch, and proves that it does."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from chattn_nas.errors import InputError
from chattn_nas.export.card import Card, Facts, card_text
from chattn_nas.export.model_file import model_text
from chattn_nas.export.proof import prove_source
from chattn_nas.export.source.writer import write_source
from chattn_nas.space import Architecture

FORMATS = ("source", "safetensors")
_FILES = {
    "model.py": "the network as source, with `build()`, `load()`, `read_image()` and the preprocessing constants",
    "weights.pt": "its weights, as `load()` reads them (`weights_only=True`)",
    "weights.safetensors": "the same weights as safetensors",
    "architecture.yaml": "the architecture as chattn-nas reads it",
}


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote and how well it was proved.

    Attributes:
        folder: Where everything lies.
        files: Names of the files written.
        differences: Per check (``evaluation``, ``training``, ``state``, ...) the largest difference from the network.
    """

    folder: Path
    files: tuple[str, ...]
    differences: Mapping[str, float]

    @property
    def max_difference(self) -> float:
        """The largest difference of all checks."""
        return max(self.differences.values(), default=0.0)


def export_network(
    network: nn.Module,
    *,
    architecture: Architecture,
    out_dir: Path | str,
    num_classes: int,
    in_chans: int,
    image_size: int | tuple[int, int],
    card: Card,
    formats: Sequence[str] = FORMATS,
    max_difference: float = 1e-5,
) -> ExportReport:
    """Write ``network`` to ``out_dir`` in every format asked for, and prove each.

    Args:
        network: The searched network; it is copied to the CPU, not changed.
        architecture: What it was built from.
        out_dir: Made where it is missing; files of the same names are replaced.
        num_classes: Number of logits.
        in_chans: Channels of the input.
        image_size: Pixels, one number or (height, width).
        card: What else is known of the network.
        formats: Of :data:`FORMATS`.
        max_difference: Above it a proof fails.

    Raises:
        InputError: An unknown format.
        ExportError: A module cannot be written as source, or a proof fails.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown export format {name!r}", where=("formats",), value=name, choices=FORMATS)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    network = copy.deepcopy(network).to("cpu").float().eval()
    facts = Facts(
        attention=tuple(str(choice) for choice in architecture.stages),
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=size,
        versions={"torch": version("torch"), "timm": version("timm")},
        date=datetime.date.today().isoformat(),
    )
    images = torch.randn(2, in_chans, *size, generator=torch.Generator().manual_seed(0))
    files: list[str] = []
    differences: dict[str, float] = {}
    state = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    if "source" in formats:
        text = model_text(
            write_source(network, images, choices=architecture.stages, num_classes=num_classes), card, facts
        )
        (folder / "model.py").write_text(text)
        torch.save(state, folder / "weights.pt")
        differences |= prove_source(network, folder, images, max_difference=max_difference)
        files += ["model.py", "weights.pt"]
    if "safetensors" in formats:
        safetensors.torch.save_file(state, folder / "weights.safetensors", metadata={"format": "pt"})
        files.append("weights.safetensors")
    (folder / "architecture.yaml").write_text(architecture.to_yaml())
    files.append("architecture.yaml")
    (folder / "README.md").write_text(card_text(card, facts, {name: _FILES[name] for name in files}))
    return ExportReport(folder, (*files, "README.md"), differences)

"""Writes a network into a folder that needs only torch, and proves that it computes the same."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.export.card import Card, Facts, card_text
from chattn_nas.export.clean_process import CLEAN
from chattn_nas.export.context import Context, Written
from chattn_nas.export.onnx import onnx_packages, write_onnx
from chattn_nas.export.output import MANIFEST, OutputFolder
from chattn_nas.export.pt2 import write_pt2
from chattn_nas.export.source_format import write_safetensors, write_source_format
from chattn_nas.export.timm_folder import write_timm
from chattn_nas.export.usage import CLASSIFICATION, SEVERAL_LABELS, Usage
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network.scaled import fix_scales
from chattn_nas.space import Architecture

#: Every format, and what writes and proves it.
WRITERS: dict[str, Callable[[Context], Written]] = {
    "source": write_source_format,
    "safetensors": write_safetensors,
    "pt2": write_pt2,
    "onnx": write_onnx,
    "timm": write_timm,
}
FORMATS = tuple(WRITERS)
DEFAULT_FORMATS = ("source", "safetensors")


@dataclass(frozen=True)
class ExportReport:
    """The files of an export, and how well they were proved.

    Attributes:
        folder: The folder of the export.
        files: Names of the files in it.
        differences: Largest difference from the network by check (``evaluation``, ``training``, ``state``, ...).
    """

    folder: Path
    files: tuple[str, ...]
    differences: Mapping[str, float]

    @property
    def max_difference(self) -> float:
        """The largest difference of all checks."""
        return max(self.differences.values(), default=0.0)


@checked
def check_request(formats: Sequence[str], out_dir: Path | str, *, force: bool = False) -> OutputFolder:
    """Check a request for an export, and return the folder to write into.

    Raises:
        InputError: A format is unknown, there is none at all, or :class:`OutputFolder` refuses the folder.
        MissingExtraError: The packages of a format are not installed.
    """
    if not formats:
        raise InputError("no export format was given", where=("formats",), choices=FORMATS)
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown export format {name!r}", where=("formats",), value=name, choices=FORMATS)
    if "onnx" in formats:
        onnx_packages()
    return OutputFolder(out_dir, force=force)


@checked
def export_network(
    network: nn.Module,
    *,
    architecture: Architecture,
    out_dir: Path | str,
    num_classes: int,
    in_chans: int,
    image_size: ImageSize,
    card: Card,
    formats: Sequence[str] = DEFAULT_FORMATS,
    usage: Usage | None = None,
    force: bool = False,
    max_difference: float = 1e-5,
) -> ExportReport:
    """Write ``network`` to ``out_dir`` in every format asked for, and prove each.

    The folder is filled once everything is proved; an export that fails leaves it as it was. An earlier export there is
    replaced as a whole.

    Args:
        network: The network; it is copied to the CPU, not changed.
        architecture: The architecture of the network.
        out_dir: Folder to write to; created if needed.
        num_classes: Number of logits, or of whatever the task counts.
        in_chans: Channels of the input.
        image_size: Size in pixels, one number or (height, width).
        card: Further facts about the network.
        formats: ``source`` (readable Python), ``safetensors``, ``pt2`` (torch.export), ``onnx``,
            ``timm`` (a folder for ``timm.create_model("local-dir:...")``).
        usage: The purpose of the network; by default classification, with several labels if the card says so.
        force: Write even if the folder holds other files.
        max_difference: Largest difference that a proof accepts.

    Raises:
        InputError: A format is unknown, or the folder cannot be written, holds files that no export wrote, or is being
            written by another export.
        MissingExtraError: The packages of a format are not installed.
        ExportError: A format cannot express this network, or a proof failed.
    """
    output = check_request(formats, out_dir, force=force)
    size = pair(image_size)
    facts = Facts(
        attention=tuple(str(choice) for choice in architecture.stages),
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=size,
        versions={"torch": version("torch"), "timm": version("timm")},
        date=datetime.date.today().isoformat(),
    )
    if {"source", "pt2"} & set(formats):
        CLEAN.start()
    network = copy.deepcopy(network).to("cpu").float().eval()
    fix_scales(network)
    files: dict[str, str] = {}
    differences: dict[str, float] = {}
    uses: dict[str, None] = {}
    with output.staging() as folder:
        context = Context(
            network=network,
            architecture=architecture,
            folder=folder,
            card=card,
            facts=facts,
            usage=usage or (SEVERAL_LABELS if card.multilabel else CLASSIFICATION),
            images=torch.randn(2, in_chans, *size, generator=torch.Generator().manual_seed(0)),
            max_difference=max_difference,
        )
        for name in formats:
            written = WRITERS[name](context)
            files |= written.files
            differences |= written.differences
            uses |= dict.fromkeys(filter(None, (written.use, written.credit)))
        (folder / "architecture.yaml").write_text(architecture.to_yaml(), encoding="utf-8")
        files |= {"architecture.yaml": "the architecture as chattn-nas reads it"}
        files |= {MANIFEST: "names these files, so that a later export knows them as its own"}
        (folder / "README.md").write_text(card_text(card, facts, files, tuple(uses)), encoding="utf-8")
        output.publish(folder, [name for name in (*files, "README.md") if name != MANIFEST])
    return ExportReport(output.path, (*files, "README.md"), differences)

"""Opens an exported folder: imports its ``model.py`` and loads its weights."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError, first_line
from chattn_nas.space import Architecture


@dataclass(frozen=True)
class ExportedFolder:
    """A folder that ``export_network`` wrote with the format ``source``.

    Attributes:
        path: The folder.
        model: Its ``model.py``, imported.
    """

    path: Path
    model: ModuleType

    @property
    def architecture(self) -> Architecture:
        """The architecture that the network was built from.

        Raises:
            InputError: The file is damaged.
        """
        file = self.path / "architecture.yaml"
        try:
            return Architecture.from_yaml(file.read_text(encoding="utf-8"))
        except (InputError, OSError, ValueError) as error:
            raise InputError(f"{file} is damaged ({first_line(error)}): export the network again") from None

    @property
    def in_chans(self) -> int:
        """Channels of the input."""
        return int(self.model.IN_CHANS)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.model.IMAGE_SIZE
        return int(height), int(width)

    def network(self, device: torch.device | str = "cpu") -> nn.Module:
        """The trained network, in evaluation mode.

        Raises:
            InputError: Its weights cannot be read, or do not fit ``model.py``; or there is no such device.
        """
        try:
            network: nn.Module = self.model.load()
        except Exception as error:  # torch raises a dozen kinds for a broken file
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise InputError(f"{self.path / 'weights.pt'} cannot be loaded: {reason}") from error
        try:
            return network.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = first_line(error)
            raise InputError(f"there is no device {str(device)!r} here: {reason}", value=str(device)) from None


@checked
def open_folder(path: Path | str) -> ExportedFolder:
    """Import the ``model.py`` of an exported folder. This runs the file: open only folders that you trust.

    Raises:
        InputError: The folder has no ``model.py`` or no weights, or the file is not one that export writes.
    """
    folder = Path(path)
    for name in ("model.py", "weights.pt", "architecture.yaml"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no exported folder: it has no {name} (export it with the format source)")
    spec = importlib.util.spec_from_file_location(f"exported_{folder.resolve().name}", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(model)
    except Exception as error:  # the file is the user's by now
        raise InputError(f"{folder / 'model.py'} cannot be imported: {type(error).__name__}: {error}") from error
    for name in ("load", "normalise", "IN_CHANS", "IMAGE_SIZE"):
        if not hasattr(model, name):
            raise InputError(f"{folder / 'model.py'} was not written by chattn-nas: it has no {name}")
    return ExportedFolder(folder, model)

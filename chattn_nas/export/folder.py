"""Opens an exported folder: imports its ``model.py`` and loads its weights."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError, first_line
from chattn_nas.export.output import changed_since, written_there
from chattn_nas.space import Architecture

log = logging.getLogger(__name__)
FILES = ("model.py", "weights.pt", "architecture.yaml")


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
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from None
        except (InputError, ValueError) as error:
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

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by label; empty if the export did not know them."""
        return tuple(map(str, getattr(self.model, "CLASS_NAMES", ())))

    @property
    def preparation(self) -> dict[str, str]:
        """How training images were brought to size: ``data.resize`` and ``data.background``, if the file says so."""
        constants = {key: getattr(self.model, key.upper(), None) for key in ("resize", "background")}
        return {key: str(value) for key, value in constants.items() if value is not None}

    def answers(self, network: nn.Module, images: torch.Tensor) -> Any:
        """The network's output for uint8 images (B, C, H, W).

        Raises:
            InputError: The file fails, perhaps because it was edited or damaged.
        """
        try:
            return network(self.model.normalise(images))
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise InputError(f"the network of {self.path / 'model.py'} fails: {reason}") from error

    def network(self, device: torch.device | str = "cpu") -> nn.Module:
        """Load the trained network, in evaluation mode.

        Raises:
            InputError: The weights cannot be read or do not fit ``model.py``, or there is no such device.
        """
        try:
            network: nn.Module = self.model.load()
        except Exception as error:  # torch raises a dozen kinds for a broken file
            said = first_line(error)
            if isinstance(error, OSError) and error.filename:
                said = f"{error.filename} cannot be read: {error.strerror}"
            elif str(self.path) not in said:
                said = f"{self.path / 'weights.pt'} cannot be loaded: {type(error).__name__}: {said}"
            raise InputError(said) from error
        try:
            return network.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = first_line(error)
            raise InputError(f"there is no device {str(device)!r} here: {reason}", value=str(device)) from None


@checked
def open_folder(path: Path | str) -> ExportedFolder:
    """Import the ``model.py`` of an exported folder. This runs the file: open only folders that you trust.

    Raises:
        InputError: The folder has no ``model.py`` or no weights, or the file does not come from an export.
    """
    folder = Path(path)
    for name in FILES:
        if not (folder / name).is_file():
            why = f"{name} is a folder" if (folder / name).is_dir() else f"it has no {name}"
            raise InputError(f"{folder} is no exported folder: {why} (export it with the format source)")
    spec = importlib.util.spec_from_file_location(f"exported_{folder.resolve().name}", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(model)
    except PermissionError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
    except (Exception, SystemExit) as error:  # the file is the user's by now
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{folder / 'model.py'} cannot be imported: {reason}: export the network again") from error
    for name in ("load", "normalise", "IN_CHANS", "IMAGE_SIZE"):
        if not hasattr(model, name):
            raise InputError(f"{folder / 'model.py'} is damaged, or was not written by chattn-nas: it has no {name}")
    _tell_changes(folder)
    return ExportedFolder(folder, model)


def _tell_changes(folder: Path) -> None:
    """Warn of files that have changed since the export, such as weights that were trained further."""
    try:
        changed = [name for name in changed_since(folder, written_there(folder)) if name in (*FILES, "tables.pt")]
    except (OSError, ValueError):  # it is not needed for reading
        return
    for name in changed:
        log.warning("%s is not the file that was exported: it was changed since, or is damaged", folder / name)

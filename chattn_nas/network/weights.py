"""Writes and reads the weights of a network."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chattn_nas.errors import first_line, unreadable
from chattn_nas.files import replacing

log = logging.getLogger(__name__)
#: Name in the file's metadata.
CHECKSUM = "crc32"


def write_weights(network: nn.Module, path: Path) -> Path:
    """Write a ``.safetensors`` file; a reader finds the whole file or none.

    Raises:
        OSError: The disk is full or read-only; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {  # copies: safetensors refuses a tensor of two names, as a module that is used twice has
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    try:
        with replacing(path) as partial:
            save_file(state, partial, metadata={CHECKSUM: _checksum(state)})
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from error
    return path


def read_weights(path: Path) -> dict[str, Tensor] | None:
    """Read the tensors of a file of :func:`write_weights` onto the CPU; ``None`` if it is damaged, which is logged.

    Older files have no checksum: they count as damaged only if they cannot be read at all.

    Raises:
        RunError: The file may be intact, but cannot be read now: permissions, or a disk that is away.
    """
    try:
        path.open("rb").close()  # safetensors says of a file without right that there is none
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = (file.metadata() or {}).get(CHECKSUM)
        if checksum is None or checksum == _checksum(tensors):
            return tensors
        reason = "its checksum is another one"
    except (SafetensorError, FileNotFoundError, IsADirectoryError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
    except OSError as error:
        raise unreadable(path, error) from error
    log.warning("%s is damaged (%s) and counts as missing", path, reason)
    return None


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        checksum = zlib.crc32(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"

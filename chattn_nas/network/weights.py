"""Weights of a network as a file."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_file
from torch import nn


def write_weights(network: nn.Module, path: Path) -> Path:
    """Write a ``.safetensors`` file; a reader finds the whole file or none.

    Raises:
        OSError: The disk is full or read-only; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, partial)
        partial.replace(path)
    except Exception as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error}") from error
    return path

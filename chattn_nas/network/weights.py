"""Weights of a network as a file."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from chattn_nas.files import replacing


def write_weights(network: nn.Module, path: Path) -> Path:
    """Write a ``.safetensors`` file; a reader finds the whole file or none.

    Raises:
        OSError: The disk is full or read-only; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        with replacing(path) as partial:
            save_file(state, partial)
    except Exception as error:
        raise OSError(f"cannot write {path}: {error}") from error
    return path

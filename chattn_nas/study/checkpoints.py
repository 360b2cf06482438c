"""Stores the weights of the best few architectures, in files that several workers write and remove at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reading a run needs no torch
    from torch import nn

#: Seconds after which a file that is not whole belongs to nobody.
STALE = 600


class Checkpoints:
    """``<hash>-<seed>.safetensors`` in one folder.

    Args:
        directory: The folder; created when the first file is written.
        keep: Number of architectures whose files stay.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory, self.keep = directory, keep

    def path(self, architecture: str, seed: int) -> Path:
        """The file for the weights of an architecture (its canonical hash) trained on a seed; it may not exist."""
        return self.directory / f"{architecture}-{seed}.safetensors"

    def write(self, network: nn.Module, architecture: str, seed: int) -> Path:
        """Write the weights; a reader finds the whole file or none.

        Raises:
            OSError: The disk is full or read-only; nothing is left behind.
        """
        from chattn_nas.network.weights import write_weights

        return write_weights(network, self.path(architecture, seed))

    def prune(self, ranking: Sequence[str], has_result: Callable[[str], bool]) -> None:
        """Remove the files of all but the first ``keep`` architectures of ``ranking`` (hashes, best first).

        Args:
            ranking: As this process knows it.
            has_result: Whether this process knows a result of an architecture: another worker may just have written
                the file of a trial whose end it is about to tell.
        """
        for partial in self.directory.glob(".*.safetensors.*"):  # of a worker that was killed while it wrote
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > STALE:
                    partial.unlink()
        kept = set(ranking[: self.keep])
        for path in self.directory.glob("*.safetensors"):
            architecture = path.name.split("-")[0]
            if architecture not in kept and has_result(architecture):
                path.unlink(missing_ok=True)

"""The log of a final training: one row per epoch in ``log.csv`` and, if requested, TensorBoard's files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from chattn_nas.errors import MissingExtraError
from chattn_nas.files import replacing

NAME = "log.csv"


class Log:
    """The rows so far; a resumed training continues after those of its checkpoint.

    Args:
        directory: Folder of the training.
        tensorboard: Whether to write event files into its folder ``tensorboard``.
        rows: Rows of earlier sessions.

    Raises:
        MissingExtraError: TensorBoard is requested but not installed.
    """

    def __init__(self, directory: Path, tensorboard: bool, rows: list[dict[str, Any]]) -> None:
        self.path, self.rows = directory / NAME, rows
        self.writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise MissingExtraError(
                    "TensorBoard is not installed: pip install 'chattn-nas[tensorboard]'", where=("tensorboard",)
                ) from None
            self.writer = SummaryWriter(directory / "tensorboard", purge_step=len(rows) + 1)  # type: ignore[no-untyped-call]

    def add(self, row: dict[str, Any]) -> None:
        """Add the row of an epoch."""
        self.rows.append(row)
        with replacing(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.rows)
        if self.writer is not None:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    self.writer.add_scalar(name, value, row["epoch"])  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Flush and close the files."""
        if self.writer is not None:
            self.writer.close()  # type: ignore[no-untyped-call]

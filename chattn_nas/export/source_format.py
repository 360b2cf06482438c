"""Formats ``source`` and ``safetensors``: readable Python and its weights."""

from __future__ import annotations

import safetensors.torch
import torch

from chattn_nas.errors import ExportError
from chattn_nas.export.context import Context
from chattn_nas.export.model_file import model_text
from chattn_nas.export.proof import prove_source
from chattn_nas.export.source.format_calls import OLDEST, problem_on_oldest
from chattn_nas.export.source.writer import write_source


def write_source_format(context: Context) -> tuple[dict[str, str], dict[str, float]]:
    """Write ``model.py`` and ``weights.pt``, and prove them.

    Returns:
        File name to what it is, and the largest difference per check.

    Raises:
        ExportError: A module cannot be written as source, or the proof fails.
    """
    source = write_source(
        context.network,
        context.images,
        choices=context.architecture.stages,
        num_classes=context.facts.num_classes,
    )
    text = model_text(source, context.card, context.facts)
    if problem := problem_on_oldest(text):
        raise ExportError(f"model.py would need a newer Python than {'.'.join(map(str, OLDEST))}: {problem}")
    (context.folder / "model.py").write_text(text, encoding="utf-8")
    torch.save(context.state, context.folder / "weights.pt")
    if source.tables:
        torch.save(dict(source.tables), context.folder / "tables.pt")
    found = prove_source(context.network, context.folder, context.images, max_difference=context.max_difference)
    files = {
        "model.py": "the network as source, with `build()`, `load()`, `read_image()` and the preprocessing constants",
        "weights.pt": "its weights, as `load()` reads them (`weights_only=True`)",
    }
    if source.tables:
        files["tables.pt"] = "constants of the network, as `build()` reads them (`weights_only=True`)"
    return files, found


def write_safetensors(context: Context) -> tuple[dict[str, str], dict[str, float]]:
    """Write ``weights.safetensors`` and read it back; returns as :func:`write_source_format`."""
    file = context.folder / "weights.safetensors"
    safetensors.torch.save_file(context.state, file, metadata={"format": "pt"})
    read = safetensors.torch.load_file(file)
    worst = 0.0 if all(torch.equal(read[name], value) for name, value in context.state.items()) else float("inf")
    return {file.name: "the weights as safetensors"}, {"safetensors": worst}

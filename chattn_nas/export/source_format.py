"""Formats ``source`` and ``safetensors``: readable Python and its weights."""

from __future__ import annotations

import safetensors.torch
import torch

from chattn_nas.errors import ExportError
from chattn_nas.export.context import Context, Written, python
from chattn_nas.export.model_file import model_text
from chattn_nas.export.proof import prove_source
from chattn_nas.export.source.format_calls import OLDEST, problem_on_oldest
from chattn_nas.export.source.writer import write_source

_CREDIT = "Parts of `model.py` come from timm (Apache-2.0, https://github.com/huggingface/pytorch-image-models)."


def write_source_format(context: Context) -> Written:
    """Write ``model.py`` and ``weights.pt``, and prove them.

    Raises:
        ExportError: A module cannot be written as source, or the proof fails.
    """
    source = write_source(context.network, context.images)
    text = model_text(source, context.card, context.facts, context.usage)
    if problem := problem_on_oldest(text):
        raise ExportError(f"model.py would need a newer Python than {'.'.join(map(str, OLDEST))}: {problem}")
    (context.folder / "model.py").write_text(text, encoding="utf-8")
    torch.save(context.state, context.folder / "weights.pt")
    if source.tables:
        torch.save(dict(source.tables), context.folder / "tables.pt")
    differences = prove_source(context.network, context.folder, context.images, max_difference=context.max_difference)
    files = {
        "model.py": "the network as source, with `build()`, `load()`, `read_image()` and the preprocessing constants",
        "weights.pt": "its weights, as `load()` reads them (`weights_only=True`)",
    }
    if source.tables:
        files["tables.pt"] = "constants of the network, as `build()` reads them (`weights_only=True`)"
    example = python(
        "import model  # the file in this folder; needs torch and nothing else",
        "network = model.load()",
        f"{context.result} = network(images){context.meaning}",
    )
    use = (
        f"{example}\n`python model.py` runs it on random images, `python model.py image.png` {context.usage.answers} "
        "(this needs Pillow)."
    )
    return Written(files=files, differences=differences, use=use, credit=_CREDIT if "timm" in text else "")


def write_safetensors(context: Context) -> Written:
    """Write ``weights.safetensors`` and read it back."""
    file = context.folder / "weights.safetensors"
    safetensors.torch.save_file(context.state, file, metadata={"format": "pt"})
    read = safetensors.torch.load_file(file)
    worst = 0.0 if all(torch.equal(read[name], value) for name, value in context.state.items()) else float("inf")
    use = (
        f'`safetensors.torch.load_file("{file.name}")` gives the weights, named as in the network that '
        "`chattn_nas.build_network` builds from `architecture.yaml`."
    )
    return Written(files={file.name: "the weights as safetensors"}, differences={"safetensors": worst}, use=use)

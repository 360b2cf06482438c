"""Format ``timm``: a folder as on the Hugging Face hub, which ``timm.create_model("local-dir:...")`` loads."""

from __future__ import annotations

import json
from typing import Any

import safetensors.torch
import torch

from chattn_nas.attention import IdentityStart
from chattn_nas.errors import ExportError, first_line
from chattn_nas.export.context import Context, Written, python
from chattn_nas.export.proof import difference
from chattn_nas.network import _timm
from chattn_nas.network.scaled import constants


def write_timm(context: Context) -> Written:
    """Write ``config.json`` and ``model.safetensors``, load them through timm and compare.

    Raises:
        ExportError: timm cannot load the folder, or it computes something else.
    """
    import timm

    import chattn_nas.timm  # noqa: F401 (registers chattn_net)

    folder = context.folder
    (folder / "config.json").write_text(json.dumps(_config(context), indent=2) + "\n", encoding="utf-8")
    safetensors.torch.save_file(context.state, folder / "model.safetensors", metadata={"format": "pt"})
    try:
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except RuntimeError as error:
        raise ExportError(f"timm cannot load the folder: {first_line(error)}") from error
    with torch.no_grad():
        worst = difference(context.network(context.images), loaded(context.images))
    if not worst <= context.max_difference:
        raise ExportError(f"the timm folder differs from the searched network by {worst:.3g}")
    use = python(
        "import timm",
        "import chattn_nas.timm  # so that timm knows the architecture",
        'network = timm.create_model("local-dir:DIR", pretrained=True).eval()  # DIR is this folder',
        f"{context.result} = network(images){context.meaning}",
    )
    files = {"config.json": "the network as timm reads it", "model.safetensors": "its weights as timm reads them"}
    return Written(files=files, differences={"timm": worst}, use=use)


def _config(context: Context) -> dict[str, Any]:
    """``config.json`` as timm reads it: name of the entry point, its arguments, and the preprocessing."""
    card, facts, network = context.card, context.facts, context.network
    scales = constants(network)
    own = _timm.config_of(network)
    return {
        "architecture": "chattn_net",
        "num_classes": facts.num_classes,
        "num_features": getattr(network, "num_features", None),
        "model_args": {
            "architecture": context.architecture.to_dict(),
            "image_size": list(facts.image_size),
            "num_classes": facts.num_classes,
            "in_chans": facts.in_chans,
            "identity_init": any(isinstance(module, IdentityStart) for module in network.modules()),
            **({"scales": scales} if scales else {}),
        },
        "pretrained_cfg": {
            "tag": "chattn_nas",
            "custom_load": False,
            "input_size": [facts.in_chans, *facts.image_size],
            "fixed_input_size": False,
            "interpolation": card.interpolation,
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": list(card.mean),
            "std": list(card.std),
            "num_classes": facts.num_classes,
            "first_conv": own.get("first_conv"),
            "classifier": own.get("classifier"),
            "label_names": list(card.class_names) or None,
        },
    }

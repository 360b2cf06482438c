"""Creates the timm model that attention is placed in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.space import Backbone


def create_backbone(
    backbone: Backbone, *, num_classes: int, in_chans: int, device: torch.device | str | None = None, **options: Any
) -> nn.Module:
    """The timm model, with the last norm of every branch at 1 where timm would zero it.

    A zeroed norm gives every attention behind it a zero map and so a zero gradient in the first step.

    Raises:
        BackboneError: timm has no such model, or cannot build it with these options.
    """
    try:
        import timm
    except RuntimeError as error:
        raise BackboneError(
            f"timm cannot be imported ({error}): install torch and torchvision from one index, in matching versions"
        ) from None
    from chattn_nas.network import cifar  # noqa: F401 (importing registers our models with timm)

    if not timm.is_model(backbone.model):
        raise BackboneError(
            f"timm has no model {backbone.model!r}", where=("model",), value=backbone.model, choices=timm.list_models()
        )
    try:
        model = timm.create_model(
            backbone.model,
            num_classes=num_classes,
            in_chans=in_chans,
            device=device,
            **dict(backbone.options),
            **options,
        )
    except TypeError as error:
        raise BackboneError(f"{backbone.model} cannot be built: {error}", where=("options",)) from None
    for module in model.modules():
        for name in ("bn3", "bn2"):
            norm = getattr(module, name, None)
            if hasattr(module, "zero_init_last") and norm is not None and norm.weight is not None:
                nn.init.ones_(norm.weight)
                break
    return model

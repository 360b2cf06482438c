"""Creates the backbone that attention is placed in: a timm model, or a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network import own
from chattn_nas.network._timm import check_name, check_options, create, has_weights
from chattn_nas.network.pretrained import load_file, load_hub, refuse_missing
from chattn_nas.parts import is_path
from chattn_nas.space import Backbone


def create_backbone(
    backbone: Backbone,
    *,
    num_classes: int,
    in_chans: int,
    device: torch.device | str | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
) -> nn.Module:
    """Create the backbone without attention; its attribute ``loaded`` says which weights were loaded, if any.

    Args:
        backbone: Model and options.
        num_classes, in_chans: Classes and channels of the data; timm adapts pretrained weights to them.
        device: Device to build on; ``meta`` takes no memory.
        pretrained: Load timm's pretrained weights.
        weights: Load this local file of weights (``.safetensors``, ``.pth``, ``.ckpt``) instead.

    Raises:
        BackboneError: There is no such model, it cannot be built with these options, or its weights do not fit.
    """
    check_options(dict(backbone.options))
    options: dict[str, Any] = {
        **dict(backbone.options), "num_classes": num_classes, "in_chans": in_chans, "device": device,
    }  # fmt: skip
    if is_path(backbone.model):
        model = own.create(backbone.model, **options)
    else:
        check_name(backbone.model)
        if weights is None and pretrained:
            return load_hub(backbone.model, options)
        model = create(backbone.model, **options)
    if backbone.stages:
        own.tell_stages(model, backbone.stages)
    if weights is not None:
        load_file(model, Path(weights), num_classes=num_classes, in_chans=in_chans)
    return model


def refuse_missing_weights(model: str, *, pretrained: bool, weights: str | Path | None) -> None:
    """See that there are weights to load, as :func:`create_backbone` would, without building anything.

    Raises:
        BackboneError: There is no such file, or timm has no weights for this model.
    """
    if weights is not None:
        refuse_missing(Path(weights))
    elif pretrained and not is_path(model) and not has_weights(model):
        raise BackboneError(
            f"timm has no pretrained weights for {model}: backbone.weights takes a local file, and pretrained: false "
            "trains from the start",
            where=("pretrained",),
        )

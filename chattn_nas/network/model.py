"""Creates the timm model that attention is placed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import BackboneError
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
    """The timm model; no scale of a norm is zero in it unless it is trained or the options ask for it.

    timm zeroes the last norm of every residual branch by default. Attention behind it then sees a zero map and has a
    zero gradient in the first step (measured: 0 of 8 modules of a ResNet-18), so those scales start at 1 here.

    Args:
        backbone: Model and options.
        num_classes, in_chans: Classes and channels of the data; timm adapts pretrained weights to them.
        device: Where to build; ``meta`` costs no memory.
        pretrained: Load timm's pretrained weights.
        weights: Load this local file of weights (``.safetensors``, ``.pth``) instead.

    Raises:
        BackboneError: timm has no such model, cannot build it with these options, or cannot load its weights.
    """
    import_timm()
    import timm

    if not timm.is_model(backbone.model):
        raise BackboneError(
            f"timm has no model {backbone.model!r}", where=("model",), value=backbone.model, choices=timm.list_models()
        )
    options: dict[str, Any] = dict(backbone.options)
    if weights is not None:
        if not Path(weights).is_file():
            raise BackboneError(f"there is no file of weights {str(weights)!r}", where=("weights",), value=weights)
        given = dict(options.get("pretrained_cfg_overlay", {}))
        options["pretrained_cfg_overlay"] = {**_shapes_in(Path(weights), backbone.model, in_chans), **given}
    loads = pretrained or weights is not None
    try:
        model: nn.Module = timm.create_model(
            backbone.model, pretrained=loads, num_classes=num_classes, in_chans=in_chans, device=device, **options
        )
    except TypeError as error:
        raise BackboneError(f"{backbone.model} cannot be built: {error}", where=("options",)) from error
    except Exception as error:  # timm asserts, and its loaders raise whatever the hub or the file made them raise
        what = "load its weights" if loads else "be built with these options"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        where = ("weights",) if weights else ("pretrained",) if pretrained else ("options",)
        raise BackboneError(f"{backbone.model} cannot {what}: {reason}", where=where) from error
    if not loads and "zero_init_last" not in options and torch.device(device or "cpu").type != "meta":
        _wake_zeroed_scales(model)
    return model


def _shapes_in(path: Path, model: str, in_chans: int) -> dict[str, Any]:
    """What timm must know of a file to load it: as trained by its user it need not have timm's 1000 classes.

    timm keeps the classifier where the numbers of classes are equal, and adapts the first convolution where it has
    other channels than the images.

    Raises:
        BackboneError: The file cannot be read.
    """
    import timm
    from timm.models import load_state_dict

    try:
        state = load_state_dict(str(path))
    except Exception as error:  # torch and safetensors each raise their own
        reason = str(error).strip().splitlines()[0]
        raise BackboneError(f"cannot read the weights {str(path)!r}: {reason}", where=("weights",)) from error
    found: dict[str, Any] = {"file": str(path)}
    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    classifier, first = (_weight(state, getattr(config, key, None)) for key in ("classifier", "first_conv"))
    if classifier is not None:
        found["num_classes"] = classifier.shape[0]
    if first is not None and first.shape[1] == in_chans:
        found["first_conv"] = None  # nothing to adapt
    return found


def _weight(state: dict[str, Any], names: Any) -> Any:
    """The weight of a layer that timm's configuration names: by a name, or by several."""
    first = names[0] if isinstance(names, list | tuple) and names else names
    return state.get(f"{first}.weight")


def import_timm() -> None:
    """Import timm and register our models with it.

    Raises:
        BackboneError: torch and torchvision do not fit each other.
    """
    try:
        import timm  # noqa: F401

        from chattn_nas.network import cifar  # noqa: F401 (importing registers)
    except (RuntimeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BackboneError(
            f"timm cannot be imported ({reason}): install torch and torchvision from one index, in matching versions"
        ) from error


@torch.no_grad()
def _wake_zeroed_scales(model: nn.Module) -> None:
    """Scales of norms, gains of NFNet's convolutions and its SkipInit gains: 1 where all of them are 0."""
    for module in model.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm)
        for name, parameter in module.named_parameters(recurse=False):
            scale = (norm and name == "weight") or name in ("gain", "skipinit_gain")
            if scale and not parameter.any():
                parameter.fill_(1.0)

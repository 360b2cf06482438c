"""Importing this module registers our models with timm: ``cifar_resnet8/14/20/32/56``, ``rcan_tiny/small``,
and ``chattn_net``.

``chattn_net`` is any architecture of chattn-nas, so that a folder from the export format ``timm`` loads like any other
timm model::

    import timm
    import chattn_nas.timm
    network = timm.create_model("local-dir:DIR", pretrained=True)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models import build_model_with_cfg, register_model
from torch import nn

from chattn_nas.image_size import ImageSize, either
from chattn_nas.network import build_network
from chattn_nas.network import cifar as cifar  # importing registers
from chattn_nas.network import restoration as restoration
from chattn_nas.network.scaled import put_constants
from chattn_nas.space import Architecture


def _build(
    architecture: Mapping[str, Any],
    image_size: ImageSize,
    num_classes: int = 1000,
    in_chans: int = 3,
    identity_init: bool = False,
    scales: Mapping[str, float] | None = None,
    **unused: Any,
) -> nn.Module:
    network = build_network(
        Architecture.from_dict(architecture),
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=either(image_size),
        identity_init=identity_init,
    )
    put_constants(network, scales or {})
    network.num_classes = num_classes  # type: ignore[assignment]  # timm reads it back
    return network


@register_model
def chattn_net(pretrained: bool = False, **options: Any) -> nn.Module:
    """A backbone with its attention; ``architecture`` (a mapping) and ``image_size`` come from ``config.json``."""
    return build_model_with_cfg(_build, "chattn_net", pretrained, **options)

"""Builds the network of an architecture."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.network.model import create_backbone
from chattn_nas.network.slots import find_slots, stages
from chattn_nas.space import NONE, Architecture


def derived_seed(seed: int, *words: object) -> int:
    """Another seed, the same for the same words."""
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:8]) >> 1


def build_network(
    architecture: Architecture,
    *,
    num_classes: int = 10,
    in_chans: int = 3,
    image_size: int = 224,
    seed: int | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """The network, in train mode.

    Args:
        architecture: Backbone and a choice per stage.
        num_classes, in_chans, image_size: Of the data; images are (B, in_chans, image_size, image_size).
        seed: Initialises the backbone before attention is placed, and every attention under a seed of its own slot:
            two architectures of one seed share all that they have in common. ``None`` takes the global state.
        device: Where to build.

    Raises:
        BackboneError: The backbone does not exist or has no place for attention.
        InputError: A stage cannot take its choice.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            seed = int(torch.randint(2**62, ()))
        torch.manual_seed(seed)
        model = create_backbone(architecture.backbone, num_classes=num_classes, in_chans=in_chans, device=device)
        shapes = stages(architecture.backbone, in_chans=in_chans, image_size=image_size)
        slots = find_slots(model)
        for stage, choice in zip(shapes, architecture.choices(len(shapes)), strict=True):
            places = [slot for slot in slots if slot.stage == stage.name]
            for shape in choice.slots(stage) if choice.type != NONE else ():
                torch.manual_seed(derived_seed(seed, stage.name, shape.block))
                slot = places[shape.block]
                module = attention.build(
                    choice.type,
                    shape.channels,
                    feature_size=shape.feature_size,
                    num_classes=num_classes,
                    **choice.values,
                ).to(device or "cpu")
                setattr(model.get_submodule(slot.block), slot.name, module)
    model.architecture = architecture
    return model.train()

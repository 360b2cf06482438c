"""The feature maps of a network with its attention, for tasks that need more than logits.

timm's ``forward_intermediates`` runs the very modules that attention was put into, and ``prune_intermediate_layers``
removes what comes behind the last map that is needed: otherwise two thirds of a small MobileNet would stay, without a
gradient. Channels and strides are measured in one forward on the meta device, since some models declare them wrongly;
the same pass proves that every attention is called.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.arguments import checked
from chattn_nas.errors import BackboneError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network._timm import gives_intermediates, prune
from chattn_nas.network.layout import layout
from chattn_nas.network.observe import behind, whole_graph

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureMap:
    """One map that a network gives.

    Attributes:
        index: Index among all maps of the network, from 0.
        channels: C.
        stride: Pixels of the image per position of the map.
        size: Height and width.
    """

    index: int
    channels: int
    stride: int
    size: tuple[int, int]


class FeatureExtractor(nn.Module):
    """A network without its classifier: images (B, C, H, W) to a list of maps (B, C', H', W'), the largest first.

    Attributes:
        body: The pruned network.
        maps: The maps in the list.
        left_out: Names of attentions that no map depends on, which were removed.
    """

    def __init__(self, body: nn.Module, maps: Sequence[FeatureMap], taps: Sequence[str] = ()) -> None:
        super().__init__()
        self.body = body
        self.maps = tuple(maps)
        self.taps = tuple(taps)
        self.left_out: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps."""
        return _maps(self.body, x, [one.index for one in self.maps], self.taps)


@checked
def feature_extractor(
    network: nn.Module,
    *,
    image_size: ImageSize,
    in_chans: int = 3,
    strides: Sequence[int] | None = None,
    indices: Sequence[int] | None = None,
    finest: int = 1,
) -> FeatureExtractor:
    """Turn a network into one that returns its feature maps.

    Args:
        network: From ``build_network``; it is taken over and pruned.
        image_size: Size in pixels; height and width if they differ.
        in_chans: Channels of the images.
        strides: Strides of the wanted maps, such as ``(4, 8, 16, 32)``; of several at one stride the last is taken. By
            default the last map at every stride.
        indices: Instead of strides, the indices of the wanted maps, from 0.
        finest: If neither is given, maps of a smaller stride are left out; where all are smaller, all but the coarsest.

    Raises:
        BackboneError: The network has no maps, or none at such a stride.
    """
    size = pair(image_size)
    name = str(network.architecture.backbone.model)  # type: ignore[union-attr]
    taps = () if gives_intermediates(network) else _stages_of(network, in_chans, size)
    given = available_maps(network, image_size=size, in_chans=in_chans, taps=taps)
    chosen = _chosen(given, strides, indices, name, finest)
    kept = prune(network, [one.index for one in chosen])
    extractor = FeatureExtractor(network, chosen, taps)
    image = torch.empty(2, in_chans, *size, device="meta")
    attended = list(dict.fromkeys(slot.path for slot in getattr(network, "attention_slots", ())))
    called, reached = _used(extractor, image, name)
    _check_same(extractor, image, chosen, name, kept)
    extractor.left_out = tuple(one for one in attended if one not in called)
    for path in [one for one, module in network.named_children() if one not in called and any(module.parameters())]:
        setattr(network, path, nn.Identity())
    for path in extractor.left_out:
        if any(path == one for one, _ in network.named_modules()):
            parent, _, child = path.rpartition(".")
            setattr(network.get_submodule(parent), child, nn.Identity())
    if extractor.left_out:
        log.warning("%s: no map depends on the attention in %s", name, ", ".join(extractor.left_out))
    idle = [one for one in reached.unused if one in dict(network.named_parameters())]
    if idle:
        log.info("%s: no map depends on %d parameters (%s, ...)", name, len(idle), idle[0])
    return extractor


def available_maps(
    network: nn.Module, *, image_size: tuple[int, int], in_chans: int = 3, taps: Sequence[str] = ()
) -> list[FeatureMap]:
    """All maps of a network for images of that size, measured on the meta device.

    Raises:
        BackboneError: It has none, or cannot take such images.
    """
    image = torch.empty(2, in_chans, *image_size, device="meta")
    try:
        with torch.no_grad():
            maps = _maps(_meta(network), image, None, taps)
    except Exception as error:  # whatever a model does with an image that does not suit it
        raise BackboneError(f"the backbone gives no maps: {first_line(error)}", where=("model",)) from error
    feature_maps = []
    for index, tensor in enumerate(maps):
        if tensor.ndim == 4:
            height, width = int(tensor.shape[2]), int(tensor.shape[3])
            feature_maps.append(FeatureMap(index, int(tensor.shape[1]), round(image_size[0] / height), (height, width)))
    if not feature_maps:
        raise BackboneError("the backbone gives no maps", where=("model",))
    return feature_maps


def _maps(body: nn.Module, x: Tensor, indices: list[int] | None, taps: Sequence[str]) -> list[Tensor]:
    if not taps:
        maps: list[Tensor] = body.forward_intermediates(x, indices=indices, intermediates_only=True)  # type: ignore[operator]
        return list(maps)
    seen: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        return lambda _module, _args, output: seen.__setitem__(path, output)

    hooks = [body.get_submodule(path).register_forward_hook(keep(path)) for path in taps]
    try:
        body(x)
    finally:
        for hook in hooks:
            hook.remove()
    every = [seen[path] for path in taps]
    return every if indices is None else [every[index] for index in indices]


def _stages_of(network: nn.Module, in_chans: int, size: tuple[int, int]) -> tuple[str, ...]:
    """Stages of a user's own backbone, whose outputs are read where they come out."""
    plan = layout(network.architecture.backbone, in_chans, size)  # type: ignore[union-attr, arg-type]
    return tuple(stage.name for stage in plan.stages)


def _chosen(
    given: list[FeatureMap], strides: Sequence[int] | None, indices: Sequence[int] | None, name: str, finest: int
) -> list[FeatureMap]:
    if indices is not None:
        by_index = {one.index: one for one in given}
        for index in indices:
            if index not in by_index:
                raise BackboneError(f"{name} gives no map {index}", value=index, choices=sorted(by_index))
        return [by_index[index] for index in sorted(indices)]
    last = {one.stride: one for one in given}
    for stride in strides or ():
        if stride not in last:
            raise BackboneError(f"{name} gives no map of stride {stride}", value=stride, choices=sorted(last))
    wanted = sorted(strides or [stride for stride in last if stride >= finest])
    if not wanted:
        wanted = [max(last)]
        log.warning("%s gives no map of stride %d or more: that of stride %d is taken", name, finest, *wanted)
    return [last[stride] for stride in wanted]


@dataclass(frozen=True)
class _Reached:
    unused: tuple[str, ...]


def _used(extractor: FeatureExtractor, image: Tensor, name: str) -> tuple[set[str], _Reached]:
    """The modules of the body that are called, with their parents, and the parameters that no map depends on."""
    meta = _meta(extractor)
    called: set[str] = set()
    for path, module in meta.body.named_modules():
        module.register_forward_pre_hook(lambda _module, _args, path=path: called.add(path))
    try:
        with whole_graph():
            maps = meta(image)
    except Exception as error:  # whatever a pruned model does
        raise BackboneError(f"{name} gives no maps once it is pruned: {first_line(error)}", where=("model",)) from error
    holders = {path[: end + 1].rstrip(".") for path in called for end, sign in enumerate(path) if sign == "."}
    reached: set[int] = set().union(*(behind(one.grad_fn) for one in maps))
    unused = tuple(path for path, one in meta.body.named_parameters() if one.requires_grad and id(one) not in reached)
    return called | holders, _Reached(unused)


def _check_same(
    extractor: FeatureExtractor, image: Tensor, wanted: Sequence[FeatureMap], name: str, kept: Sequence[int]
) -> None:
    with torch.no_grad():
        maps = _meta(extractor)(image)
    shapes = [(int(one.shape[1]), (int(one.shape[2]), int(one.shape[3]))) for one in maps]
    if shapes != [(one.channels, one.size) for one in wanted] or list(kept) != [one.index for one in wanted]:
        raise BackboneError(f"{name} gives other maps once it is pruned: {shapes}", where=("model",))


def _meta(module: Any) -> Any:
    return copy.deepcopy(module).to("meta").eval()

"""Wakes scales that start at zero and so cut attention off.

timm zeroes the last scale of every residual branch by default: the weight of a BatchNorm or an EvoNorm, the gain of a
scaled convolution, a SkipInit gain. An attention in such a branch has a zero gradient in the first step (measured: 0 of
8 modules of a ResNet-18), so those scales start at 1 here. They are found by their effect, whatever class holds them.
A place is alive if its map differs between two images and its gate has a gradient. A scale is a parameter that is zero
everywhere and alone decides whether a place of its block is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.network.slots import Block
from chattn_nas.network.surgery import place

#: Names of what was woken, by whatever says which backbone it is: that does not depend on the seed.
_known: dict[Any, tuple[str, ...]] = {}
#: Pixels of the images that are looked at, where the backbone takes so few.
PIXELS = 64


def wake(
    model: nn.Module,
    blocks: Sequence[Block],
    convolutions: Mapping[str, Sequence[str]],
    *,
    in_chans: int,
    image_size: tuple[int, int],
    key: Any,
) -> None:
    """Set scales that start at zero and cut a place for attention off to 1.

    Args:
        model: The new model, without attention; changed in place. The global random state is not used.
        blocks: Its blocks.
        convolutions: Their convolutions' paths, by the block's path: attention may sit before them, too.
        in_chans, image_size: Channels and size (height and width) of the model's images.
        key: Hashable name of the backbone, under which the result is cached.
    """
    if key not in _known:
        with_slot = [block for block in blocks if block.kind != "stage"]
        _known[key] = tuple(zeroed_scales(model, with_slot, convolutions, in_chans, image_size))
    for name in _known[key]:
        model.get_parameter(name).detach().fill_(1.0)


def zeroed_scales(
    model: nn.Module,
    blocks: Sequence[Block],
    convolutions: Mapping[str, Sequence[str]],
    in_chans: int,
    image_size: tuple[int, int],
) -> list[str]:
    """Names of the scales in these blocks that :func:`wake` would set to 1; the model stays as it is."""
    zeros = {block.path: dict(_zeros(model.get_submodule(block.path))) for block in blocks}
    blocks = [block for block in blocks if zeros[block.path]]
    if not blocks:
        return []
    training = model.training
    model.eval()
    try:
        inputs = _inputs(model, blocks, in_chans, image_size)
        return [
            f"{block.path}.{name}"
            for block in blocks
            if block.path in inputs
            for name in _cutting(model, block, convolutions.get(block.path, ()), zeros[block.path], inputs[block.path])
        ]
    finally:
        model.train(training)


def _zeros(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters that are zero everywhere and have the shape of a scale or a bias: at most one axis above 1."""
    for name, parameter in module.named_parameters():
        if sum(size > 1 for size in parameter.shape) <= 1 and parameter.numel() and not parameter.any():
            yield name, parameter.detach()


def _inputs(model: nn.Module, blocks: Sequence[Block], in_chans: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """The input of each block for two random images."""
    device = next(model.parameters()).device
    inputs: dict[str, Any] = {}

    def keep(path: str) -> Callable[..., None]:
        return lambda _module, args, kwargs: inputs.setdefault(path, _copy((args, kwargs)))

    hooks = [
        model.get_submodule(block.path).register_forward_pre_hook(keep(block.path), with_kwargs=True)
        for block in blocks
    ]
    small = (min(image_size[0], PIXELS), min(image_size[1], PIXELS))
    try:
        for size in dict.fromkeys((small, image_size)):
            images = torch.randn(2, in_chans, *size, generator=torch.Generator().manual_seed(0)).to(device)
            try:
                with torch.no_grad():
                    model(images)
                break
            except Exception:  # a model of one size, or one whose last maps vanish
                if size == image_size:
                    raise
                inputs.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def _copy(value: Any) -> Any:
    """Copy a block's input, since blocks change their inputs in place."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_copy(item) for item in value)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value


class _Unit(nn.Module):
    """Multiplies a map by a parameter that is 1, and keeps the map."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), device=device))
        self.map: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.map = x.detach().clone()
        return x * self.scale


def _cutting(
    model: nn.Module, block: Block, convolutions: Sequence[str], zeros: Mapping[str, Tensor], inputs: Any
) -> list[str]:
    """The all-zero parameters of a block that cut off its slot, or one of its convolutions."""
    module = model.get_submodule(block.path)
    device = next(model.parameters()).device
    gates = [_Unit(device) for _ in range(1 + len(convolutions))]
    before = getattr(module, block.slot)
    place(model, block, "before_add", [gates[0]])
    hooks = [
        model.get_submodule(path).register_forward_pre_hook(_through(gate))
        for path, gate in zip(convolutions, gates[1:], strict=True)
    ]

    def alive() -> set[int]:
        """Indices of the gates through which the block's output depends on the image."""
        args, kwargs = _copy(inputs)
        with torch.enable_grad():
            output = module(*args, **kwargs)
            output = output[0] if isinstance(output, tuple | list) else output
            weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
            slopes = torch.autograd.grad((output * weights).sum(), [gate.scale for gate in gates], allow_unused=True)
        return {
            index
            for index, (gate, slope) in enumerate(zip(gates, slopes, strict=True))
            if gate.map is not None and slope is not None and slope.item() != 0
            and not torch.equal(gate.map[0], gate.map[1])
        }  # fmt: skip

    def fill(value: float) -> None:
        """Set all zeroed parameters to one value."""
        for parameter in zeros.values():
            parameter.fill_(value)

    try:
        now = alive()
        fill(1.0)
        possible = alive()
        cutting = []
        for name, parameter in zeros.items() if possible - now else ():
            parameter.zero_()
            if possible - alive():
                cutting.append(name)
            parameter.fill_(1.0)
        return cutting
    finally:
        fill(0.0)
        for hook in hooks:
            hook.remove()
        setattr(module, block.slot, before)


def _through(gate: _Unit) -> Callable[..., tuple[Any, ...]]:
    return lambda _module, args: (gate(args[0]), *args[1:])

"""Costs of a network, known before it is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.ops import DeformConv2d

from chattn_nas.arguments import at_least, checked
from chattn_nas.attention import AuxiliaryHead
from chattn_nas.attention.counted import flop_counter
from chattn_nas.device import resolve_device
from chattn_nas.errors import InputError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network.latency import measure_latency

#: Layers whose outputs count as activations, as timm counts them.
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, DeformConv2d)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Costs of one network at inference; auxiliary heads, which only training needs, are not counted.

    Attributes:
        parameters: Number of parameters.
        macs: Multiply-accumulates per image.
        activations: Outputs of convolutions and linear layers per image.
        latency: Median seconds per batch, if measured.
        latency_low, latency_high: Quartiles of the latency.
        latency_relative: Latency as a multiple of that of the network it was compared with.
    """

    parameters: int
    macs: int
    activations: int
    latency: float | None = None
    latency_low: float | None = None
    latency_high: float | None = None
    latency_relative: float | None = None


@checked
def cost(
    network: nn.Module,
    image_size: ImageSize,
    *,
    in_chans: int = 3,
    device: torch.device | str | None = None,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
    against: nn.Module | None = None,
    seconds: float = 1.0,
) -> Cost:
    """Count parameters, MACs and activations of ``network``; with a device, measure its latency too.

    Args:
        network: In any mode, on any device; not changed.
        image_size: Pixels of the images, one number or (height, width).
        in_chans: Channels of the images.
        device: Device on which to measure latency; not measured by default.
        batch_size, dtype: Size and data type of the measured batch.
        against: A network to measure in turns with this one, usually the same backbone without attention.
        seconds: Seconds to measure each of them for.

    Raises:
        InputError: The network does not take such images, or there is no such device.
    """
    size = pair(image_size)
    for name, value in (("image_size", min(size)), ("in_chans", in_chans), ("batch_size", batch_size)):
        at_least(1, name, value)
    if not dtype.is_floating_point:
        raise InputError(f"dtype must be one of floating point, not {dtype}", where=("dtype",))
    meta = copy.deepcopy(network).to("meta").eval()
    counted: list[int] = []
    for module in meta.modules():
        if isinstance(module, _LAYERS):
            module.register_forward_hook(lambda _m, _i, output: counted.append(output.numel()))
    counter = flop_counter()
    with counter:
        _run(meta, torch.empty(1, in_chans, *size, device="meta"))
    heads = {id(p) for module in network.modules() if isinstance(module, AuxiliaryHead) for p in module.parameters()}
    static = {
        "parameters": sum(p.numel() for p in network.parameters() if id(p) not in heads),
        "macs": counter.get_total_flops() // 2,
        "activations": sum(counted),
    }
    if device is None:
        return Cost(**static)
    device = resolve_device(device)
    images = torch.randn(batch_size, in_chans, *size, device=device)
    networks = [one for one in (against, network) if one is not None]
    placed = [copy.deepcopy(one).to(device).eval() for one in networks]
    for one in placed:
        _run(one, images[:1])
    latency = measure_latency(placed, images, dtype=dtype, seconds=seconds)[-1]
    return Cost(
        **static, latency=latency.median, latency_low=latency.low, latency_high=latency.high,
        latency_relative=None if against is None else latency.relative,
    )  # fmt: skip


@torch.no_grad()
def _run(network: nn.Module, images: torch.Tensor) -> None:
    """Run a network once.

    Raises:
        InputError: It does not take such images.
    """
    try:
        network(images)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # what torch says of shapes that do not fit
        shape = "x".join(map(str, images.shape[1:]))
        raise InputError(f"the network does not take images of {shape}: {first_line(error)}") from error

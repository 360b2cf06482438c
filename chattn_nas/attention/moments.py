"""Mean and variance of each channel's map, in float32 at least, whatever the layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chattn_nas.attention.precision import widened
from chattn_nas.attention.squares import applied, is_traced, squares

#: Pixels from which a group norm with a group per channel finds both faster than sums do: 3/5 of the time for 14x14 and
#: more, 9/8 for 7x7, on a CPU.
MANY = 100


def freedom(values: Any) -> Any:
    """Degrees of freedom of the variance of that many ``values``, at least 1.

    A 1x1 map has variance 0 then; dividing by its 0 degrees of freedom would spoil a norm's statistics for ever.
    """
    return max(values - 1, 1) if torch.jit.is_tracing() else torch.sym_max(values - 1, 1)


class _Moments(torch.autograd.Function):
    """Centred sums: E[x^2] - E[x]^2 cancels in float32, and ``var`` over a map takes 13 to 27 times as long as x * gate
    on a CPU, this 3. The gradient is written out, x * a + b with one a and b per channel, because autograd's own goes
    through the centred map: 1.6 times as long, and one more map kept in memory.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        """The result, and what the derivatives need."""
        wide = widened(x)
        pixels = x.shape[2] * x.shape[3]
        if type(pixels) is int and pixels >= MANY and x.is_contiguous():
            # One call; what it normalises is thrown away.
            _, mean, scale = torch.native_group_norm(wide, None, None, x.shape[0], x.shape[1], pixels, x.shape[1], 0.0)
            return mean[:, :, None, None], scale[:, :, None, None].pow(-2) * pixels / freedom(pixels)
        mean = wide.mean((2, 3), keepdim=True)
        return mean, squares(wide - mean) / freedom(pixels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep what both derivatives need."""
        ctx.save_for_backward(inputs[0], output[0])
        ctx.save_for_forward(inputs[0], output[0])

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:
        """Gradient with respect to x."""
        x, mean = ctx.saved_tensors
        slope = grad_variance * 2 / freedom(x.shape[2] * x.shape[3])
        return torch.addcmul(grad_mean / (x.shape[2] * x.shape[3]) - slope * mean, x, slope).to(x.dtype)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative of the result along a tangent."""
        x, mean = ctx.saved_tensors
        variance = ((x - mean) * tangent).sum((2, 3), keepdim=True) * 2 / freedom(x.shape[2] * x.shape[3])
        return widened(tangent).mean((2, 3), keepdim=True), variance


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of maps (B, C, H, W), (B, C, 1, 1) each; the variance of a single pixel is 0."""
    if is_traced():
        wide = widened(x)
        mean = wide.mean((2, 3), keepdim=True)
        return mean, (wide - mean).square().sum((2, 3), keepdim=True) / freedom(x.shape[2] * x.shape[3])
    found: tuple[Tensor, Tensor] = applied(_Moments, x)
    return found

"""The sum of squares of each channel's map, in float32 at least, whatever the layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_traced() -> bool:
    """Whether the running code is being traced.

    ``torch.jit.trace`` cannot hold a Python function; ``torch.compile`` and ``torch.export`` fuse plain statements by
    themselves and refuse a ``jvp``.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def applied(function: type[torch.autograd.Function], *inputs: Any) -> Any:
    """Apply a function with its own gradient; without gradients, call just its forward.

    ``apply`` binds its arguments in Python, which takes as long as summing a small map.
    """
    return function.apply(*inputs) if torch.is_grad_enabled() else function.forward(*inputs)


def squares(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 1, 1); its own gradient is not meant to be used."""
    wide = torch.promote_types(x.dtype, torch.float32)
    if x.is_contiguous():
        # Reads the map once and writes nothing.
        return torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True, dtype=wide).square()
    # Over the outer dimensions of channels_last the norm takes 4 to 10 times as long as x * gate on a CPU, this 2.
    return x.to(wide).square().sum((2, 3), keepdim=True)


class OfInput(torch.autograd.Function):
    """A function whose derivatives, both of them, need what it was given and nothing else."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep what both derivatives need."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


class _SumOfSquares(OfInput):
    """The gradient is written out, because that of the norm divides by it first: three more maps."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1)."""
        return squares(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Gradient with respect to x."""
        (x,) = ctx.saved_tensors
        return (x * (2 * grad)).to(x.dtype)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        """Derivative of the result along a tangent."""
        (x,) = ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        return 2 * (x.to(wide) * tangent).sum((2, 3), keepdim=True)


def sum_of_squares(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 1, 1); half precision is summed in float32, where |x| = 3 on 112x112 does not overflow."""
    if is_traced():
        return x.to(torch.promote_types(x.dtype, torch.float32)).square().sum((2, 3), keepdim=True)
    total: Tensor = applied(_SumOfSquares, x)
    return total

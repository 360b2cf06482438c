"""SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks. Yang, Zhang, Li, Xie (2021).

    y = x * sigmoid(d / (4 (v + lambda)) + 1/2)
    d = (x - mean)^2,   v = sum_hw d / (N - 1)      over each channel's map of N pixels

A pixel that differs from its map is let through, one that does not is damped; never below sigmoid(1/2) = 0.62. There is
nothing to learn: what a learned attention gains over this one, it gains by learning. Parameters none, MACs none (no
layers; some five operations per value). Official place: behind the 3x3 convolution, before its norm. lambda matters
only where v is near it: 1e-4 in the class, 0.1 in the authors' ImageNet runs. Source:
``networks/attentions/simam_module.py`` of ZjjConan/SimAM.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.attention.moments import freedom
from chattn_nas.attention.precision import widened
from chattn_nas.attention.registry import Hyperparameter, register
from chattn_nas.attention.squares import applied, is_traced


def _gate(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gate (B, C, H, W), and of each channel the mean and 1 / (4 (v + lambda)), (B, C, 1, 1); float32 at least."""
    wide = widened(x)
    mean = wide.mean((2, 3), keepdim=True)
    squared = (wide - mean).square()
    # A 1x1 map has variance 0 here, where the official code divides 0 by 0.
    variance = squared.sum((2, 3), keepdim=True) / freedom(x.shape[2] * x.shape[3])
    scale = 0.25 / (variance + epsilon)
    return torch.addcmul(torch.full_like(mean, 0.5), squared, scale).sigmoid(), mean, scale


class _Gated(torch.autograd.Function):
    """x times its gate. The gradient is written out: with its backward it takes two thirds of the time that autograd's
    own takes on a CPU, and keeps one map beside x instead of four.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The result, and what the derivatives need."""
        gate, mean, scale = _gate(x, epsilon)
        return x * gate.to(x.dtype), gate, mean, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, ...]) -> None:
        """Keep what both derivatives need."""
        ctx.epsilon = inputs[1]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(inputs[0], *output[1:])
        ctx.save_for_forward(inputs[0], *output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        """Gradient with respect to x."""
        x, gate, mean, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives: what was kept is a constant to autograd
            gate, mean, scale = _gate(x, ctx.epsilon)
        # Of the sum below the sigmoid; then, times the distance from the mean, of that distance halved.
        at_sum = torch.ops.aten.sigmoid_backward(grad * widened(x), gate)
        away = x - mean
        at_away = at_sum * away
        through_variance = 4 * scale.square() * (at_away * away).sum((2, 3), keepdim=True)
        through_variance = through_variance / freedom(x.shape[2] * x.shape[3])
        rest = 2 * (through_variance * mean - scale * at_away.mean((2, 3), keepdim=True))
        found = torch.addcmul(torch.addcmul(rest, x, -2 * through_variance), at_away, 2 * scale)
        return torch.addcmul(found, grad, gate).to(x.dtype), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> tuple[Tensor, None, None, None]:
        """Derivative of the result along a tangent."""
        x, gate, mean, scale = ctx.saved_tensors
        away = x - mean
        moved = tangent - tangent.mean((2, 3), keepdim=True)
        variance = 2 * (away * moved).sum((2, 3), keepdim=True) / freedom(x.shape[2] * x.shape[3])
        at_sum = 2 * away * moved * scale - away.square() * 4 * scale.square() * variance
        return (tangent * gate + x * gate * (1 - gate) * at_sum).to(x.dtype), None, None, None


@register(
    "simam",
    title="SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks",
    year=2021,
    paper="ICML 2021",
    looks_at="positions",
    hyperparameters={"epsilon": Hyperparameter(1e-4, 1e-3, 1e-2, 0.1, 1.0, minimum=1e-12)},
    parameters=lambda *_: 0,
    macs=lambda *_: 0,
    placement="after_spatial_conv",
    needs_map=True,
)
class SimAM(nn.Module):
    """SimAM on maps of shape (B, C, H, W).

    Args:
        channels: C.
        epsilon: The paper's lambda, added to the variance.
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-4) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if is_traced():
            return x * _gate(x, self.epsilon)[0].to(x.dtype)
        gated: Tensor = applied(_Gated, x, self.epsilon)[0]
        return gated

"""The similarity of two pictures: PSNR and SSIM of their brightness.

SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity"
(2004), Gaussian window of 11 pixels. Both as papers on super-resolution measure them: on Y of ITU-R BT.601, rounded to
eight bits, without the border.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: A mean squared error below counts as this: 58 dB; a flat patch may be met exactly.
LEAST = 0.1
WINDOW, SIGMA = 11, 1.5


def brightness(pictures: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in 0 to 255 to Y (B, 1, H, W) in 16 to 235; grey ones stay."""
    if pictures.shape[1] != 3:
        return pictures
    red, green, blue = pictures.split(1, 1)
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def without_border(pictures: Tensor, shave: int) -> Tensor:
    """Cut off a border of that many pixels."""
    return pictures[..., shave:-shave, shave:-shave] if shave else pictures


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of every picture, (B,); both (B, C, H, W) in 0 to 255."""
    error = (output - target).square().mean((1, 2, 3)).clamp(min=LEAST)
    return 20 * math.log10(255) - 10 * error.log10()


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of every picture, (B,); both (B, 1, H, W) in 0 to 255, at least 11 pixels a side."""
    at = torch.arange(WINDOW, device=output.device) - WINDOW // 2
    line = torch.exp(-at.square() / (2 * SIGMA**2))
    line = line / line.sum()
    window = (line[:, None] * line)[None, None].to(output.dtype)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x, window)

    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = mean(output), mean(target)
    xx, yy, xy = mean(output * output) - x * x, mean(target * target) - y * y, mean(output * target) - x * y
    similarity = (2 * x * y + first) * (2 * xy + second) / ((x * x + y * y + first) * (xx + yy + second))
    return similarity.mean((1, 2, 3))

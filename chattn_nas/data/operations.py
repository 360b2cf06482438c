"""Random operations on whole batches of images, on their device, drawn from one generator.

TrivialAugment, wide space: Mueller, Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation"
(2021). RandAugment: Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a reduced search
space" (2020). Operations and magnitudes are torchvision's; here every image of a batch draws its own on the device,
so that a step needs no host and can be captured.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: Operations of a space, in the order they are drawn by.
NAMES = ("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
         "sharpness", "posterize", "solarize", "autocontrast", "equalize")  # fmt: skip


def trivial(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply one operation per image, uniformly drawn with a uniform strength.

    Args:
        images: (B, C, H, W) uint8.
        generator: On the device of the images.
    """
    strength = torch.rand(len(images), device=images.device, generator=generator)
    return _operate(images, strength, generator, shear=0.99, translate=32.0 / 224, rotate=135.0, enhance=0.99, bits=6)


def randaugment(
    images: Tensor, generator: torch.Generator, *, operations: int = 2, magnitude: float = 9 / 30
) -> Tensor:
    """Apply several operations per image, one after another, with one strength (0 to 1).

    Args:
        images: (B, C, H, W) uint8.
        generator: On the device of the images.
        operations: Number of operations.
        magnitude: Magnitude of all operations.
    """
    strength = torch.full((len(images),), magnitude, device=images.device)
    for _ in range(operations):
        images = _operate(
            images, strength, generator, shear=0.3, translate=150.0 / 331, rotate=30.0, enhance=0.9, bits=4
        )
    return images


def _operate(
    images: Tensor, strength: Tensor, generator: torch.Generator, *, shear: float, translate: float, rotate: float,
    enhance: float, bits: int,
) -> Tensor:  # fmt: skip
    count, channels, height, width = images.shape
    which = torch.randint(len(NAMES), (count,), device=images.device, generator=generator)
    sign = torch.randint(2, (count,), device=images.device, generator=generator) * 2.0 - 1
    level = strength * sign

    def chosen(name: str) -> Tensor:
        return which == NAMES.index(name)

    zero = torch.zeros_like(strength)
    # The map from a pixel to where it comes from, in coordinates of -1 to 1.
    angle = torch.where(chosen("rotate"), level * rotate * torch.pi / 180, zero)
    across = torch.where(chosen("shear_x"), level * shear, zero)
    along = torch.where(chosen("shear_y"), level * shear, zero)
    right = torch.where(chosen("translate_x"), level * translate * 2, zero)
    down = torch.where(chosen("translate_y"), level * translate * 2, zero)
    ratio = height / width
    first = torch.stack([angle.cos(), -angle.sin() * ratio + across * ratio, right], 1)
    second = torch.stack([angle.sin() / ratio + along / ratio, angle.cos(), down], 1)
    grid = F.affine_grid(torch.stack([first, second], 1), [count, channels, height, width], align_corners=False)
    floats = images.float()
    moved = F.grid_sample(floats, grid, mode="nearest", align_corners=False)

    factor = (1 + level * enhance).view(-1, 1, 1, 1)
    grey = _grey(floats)
    blurred = _smooth(floats)
    results = {
        "brightness": floats * factor,
        "color": grey + (floats - grey) * factor,
        "contrast": grey.mean((1, 2, 3), keepdim=True) * (1 - factor) + floats * factor,
        "sharpness": blurred + (floats - blurred) * factor,
        "posterize": _posterize(images, 8 - (strength * bits).round().to(torch.int32)).float(),
        "solarize": torch.where(floats >= (255 * (1 - strength)).view(-1, 1, 1, 1), 255 - floats, floats),
        "autocontrast": _autocontrast(floats),
        "equalize": _equalize(images),
    }
    for name, result in results.items():
        moved = torch.where(chosen(name).view(-1, 1, 1, 1), result, moved)
    return moved.round().clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Grey values (B, 1, H, W): ITU-R 601-2 for three channels, else the mean."""
    if images.shape[1] == 3:
        weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
        return (images * weights).sum(1, keepdim=True)
    return images.mean(1, keepdim=True)


def _smooth(images: Tensor) -> Tensor:
    """Blur with 3x3 pixels, except at the border."""
    channels = images.shape[1]
    if min(images.shape[2:]) < 3:
        return images
    kernel = torch.ones(1, 1, 3, 3, device=images.device)
    kernel[0, 0, 1, 1] = 5
    blurred = F.conv2d(images, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    whole = images.clone()
    whole[:, :, 1:-1, 1:-1] = blurred
    return whole


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    mask = (-(2 ** (8 - bits))).bitwise_and(255).to(torch.uint8).view(-1, 1, 1, 1)
    return images.bitwise_and(mask)


def _autocontrast(images: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    spread = high - low
    return torch.where(spread > 0, (images - low) * 255 / spread.clamp(min=1), images)


def _equalize(images: Tensor) -> Tensor:
    """Equalise the histogram of every channel as Pillow does; float."""
    flat = images.flatten(0, 1).flatten(1).long()
    counts = torch.zeros(len(flat), 256, device=images.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32))
    last = 255 - (counts.flip(1) > 0).to(torch.int64).argmax(1, keepdim=True)
    step = ((counts.sum(1, keepdim=True) - counts.gather(1, last)) / 255).floor()
    before = counts.cumsum(1) - counts
    table = ((before + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(max=255)
    values = torch.arange(256, device=images.device, dtype=torch.float32).expand_as(table)
    table = torch.where(step > 0, table, values)
    return table.gather(1, flat).view(images.shape)

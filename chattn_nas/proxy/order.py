"""Draws the order of the images in an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(count: int, odds: Tensor | None, generator: torch.Generator) -> Tensor:
    """Draw indices (count,) on the device of the generator.

    Args:
        count: Number of images.
        odds: Odds of every image, (count,), to draw with replacement; ``None`` takes every image once, shuffled.
        generator: Draws the order.
    """
    if odds is None:
        return torch.randperm(count, device=generator.device, generator=generator)
    # torch.multinomial takes at most 2**24 categories: a search in the running sum does not mind.
    running = odds.double().cumsum(0)
    drawn = torch.rand(count, device=generator.device, generator=generator, dtype=torch.float64) * running[-1]
    return torch.searchsorted(running, drawn, right=True).clamp_(max=count - 1)


def even_odds(labels: Tensor) -> Tensor:
    """Odds (N,) with which every class of ``labels`` is drawn equally often.

    With several labels per image (N, K), an image has the odds of its rarest label.
    """
    if labels.ndim > 1:
        rarity = labels.shape[0] / labels.sum(0, dtype=torch.float32).clamp(min=1)
        return (labels * rarity).amax(1).clamp(min=1)
    counts = torch.zeros(int(labels.max()) + 1, device=labels.device)
    counts.scatter_add_(0, labels, torch.ones_like(labels, dtype=torch.float32))
    return 1 / counts[labels]

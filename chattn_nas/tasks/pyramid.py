"""A light feature pyramid over the maps of a backbone, for one score per class and pixel.

Lin, Dollar, Girshick, He, Hariharan, Belongie, "Feature Pyramid Networks for Object Detection" (2017), in the form that
Kirillov, Girshick, He, Dollar, "Panoptic Feature Pyramid Networks" (2019) segments with, without their towers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from chattn_nas.network import FeatureMap


class Upsample(nn.Module):
    """Bilinear interpolation between two fixed sizes, like ``F.interpolate`` without aligned corners.

    It multiplies by two small matrices: unlike torch's own on a GPU, the gradient is the same in every run, and on a
    CPU both passes are twice as fast.

    Args:
        given, wanted: Height and width before and after.
    """

    def __init__(self, given: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = given
        self.to_height, self.to_width = wanted

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H', W')."""
        rows = (torch.arange(self.to_height, device=x.device) + 0.5) * (self.height / self.to_height) - 0.5
        columns = (torch.arange(self.to_width, device=x.device) + 0.5) * (self.width / self.to_width) - 0.5
        rows = rows.clamp(0, self.height - 1)[:, None] - torch.arange(self.height, device=x.device)
        columns = columns.clamp(0, self.width - 1)[:, None] - torch.arange(self.width, device=x.device)
        down, right = (1 - rows.abs()).clamp(min=0).to(x.dtype), (1 - columns.abs()).clamp(min=0).to(x.dtype)
        return torch.matmul(torch.matmul(down, x), right.t())


class TopDown(nn.Module):
    """Brings every map to one width, and adds the coarse ones to the finer ones.

    Args:
        maps: The backbone's maps, the largest first.
        width: Channels of the merged maps.
    """

    def __init__(self, maps: Sequence[FeatureMap], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(one.channels, width, 1) for one in maps])
        self.up = nn.ModuleList([Upsample(low.size, high.size) for high, low in pairwise(maps)])

    def merged(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, C', H', W') to as many of ``width`` channels, the largest first."""
        found = [self.lateral[-1](maps[-1])]
        for index in range(len(self.up) - 1, -1, -1):
            found.insert(0, self.lateral[index](maps[index]) + self.up[index](found[0]))
        return found


class Pyramid(TopDown):
    """Merges the maps, coarsest first, then predicts classes at the size of the image.

    Args:
        maps: The backbone's maps, the largest first.
        num_classes: Channels of the output.
        image_size: Height and width of the output.
        width: Channels of the merged maps.
    """

    def __init__(
        self, maps: Sequence[FeatureMap], num_classes: int, image_size: tuple[int, int], width: int = 64
    ) -> None:
        super().__init__(maps, width)
        self.smooth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.mix = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        self.classify = nn.Conv2d(width, num_classes, 1)
        self.enlarge = Upsample(maps[0].size, image_size)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps (B, C', H', W') to logits (B, num_classes, H, W)."""
        x = self.act(self.norm(self.mix(self.smooth(self.merged(maps)[0]))))
        return self.enlarge(self.classify(x))

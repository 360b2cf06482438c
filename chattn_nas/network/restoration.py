"""Bodies for super-resolution, registered with timm: residual groups at full size, without norms.

Lim, Son, Kim, Nah, Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution" (2017), in groups with a
skip around each, as Zhang, Li, Li, Wang, Zhong, Fu, "Image Super-Resolution Using Very Deep Residual Channel Attention
Networks" (2018): RCAN without its attention, which a search puts in. Groups are stages, so attention is found, placed
and counted as in any other model; the classifier that timm's models have is taken off by the task.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from chattn_nas.network.staged import StagedNet


class ResidualBlock(nn.Module):
    """(B, C, H, W) to the same: two convolutions, attention, and the add.

    Args:
        channels: C.
    """

    def __init__(self, channels: int, **place: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, **place)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, **place)
        self.se = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.se(self.conv2(self.act(self.conv1(x))))


class ResidualGroup(nn.Module):
    """Blocks, a convolution, and a skip around all of them."""

    def __init__(self, channels: int, blocks: int, **place: Any) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(channels, **place) for _ in range(blocks)))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, **place)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + self.conv(self.blocks(x))


class RestorationNet(StagedNet):
    """A stem and residual groups, all at the size of the image; (B, in_chans, H, W) to (B, num_classes) for timm."""

    def __init__(
        self,
        groups: int,
        blocks: int,
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 24,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if type(width) is not int or width < 1:
            raise ValueError(f"width must be an integer above 0, not {width!r}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans, self.drop_rate = in_chans, drop_rate
        self.stage_names = tuple(f"group{index}" for index in range(1, groups + 1))
        self.stem = nn.Conv2d(in_chans, width, 3, padding=1, **place)
        for name in self.stage_names:
            self.add_module(name, ResidualGroup(width, blocks, **place))
        maps = ("stem", *self.stage_names)
        self.feature_info = [{"num_chs": width, "reduction": 1, "module": name} for name in maps]
        self.add_head(width, num_classes, global_pool, **place)

    def stem_map(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to (B, width, H, W)."""
        return self.stem(x)


_CONFIG = {
    "url": "",
    "num_classes": 10,
    "input_size": (3, 24, 24),
    "pool_size": (24, 24),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.25, 0.25),
    "first_conv": "stem",
    "classifier": "fc",
}
default_cfgs = generate_default_cfgs({"rcan_tiny": _CONFIG, "rcan_small": _CONFIG})


def _create(name: str, groups: int, blocks: int, pretrained: bool, options: dict[str, Any]) -> RestorationNet:
    out = tuple(range(groups + 1))
    return build_model_with_cfg(
        RestorationNet, name, pretrained, groups=groups, blocks=blocks, feature_cfg={"out_indices": out}, **options
    )


@register_model
def rcan_tiny(pretrained: bool = False, **options: Any) -> RestorationNet:
    """Three groups of three blocks; 112 thousand parameters at width 24."""
    return _create("rcan_tiny", 3, 3, pretrained, options)


@register_model
def rcan_small(pretrained: bool = False, **options: Any) -> RestorationNet:
    """Four groups of six blocks."""
    return _create("rcan_small", 4, 6, pretrained, options)

"""Bodies for super-resolution, registered with timm: residual groups at full size, without norms.

Lim, Son, Kim, Nah, Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution" (2017), in groups with a
skip around each, as Zhang, Li, Li, Wang, Zhong, Fu, "Image Super-Resolution Using Very Deep Residual Channel Attention
Networks" (2018): RCAN without its attention, which a search puts in. Groups are stages, so attention is found, placed
and counted as in any other model; the classifier that timm's models have is taken off by the task.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from chattn_nas.network._timm import take_indices


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
        """The same shape."""
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


class RestorationNet(nn.Module):
    """A stem and residual groups, all at the size of the image; (B, in_chans, H, W) to (B, num_classes) for timm."""

    group1: nn.Module

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
        self.num_classes, self.in_chans, self.drop_rate, self.groups = num_classes, in_chans, drop_rate, groups
        self.stem = nn.Conv2d(in_chans, width, 3, padding=1, **place)
        self.feature_info = [{"num_chs": width, "reduction": 1, "module": "stem"}]
        for index in range(1, groups + 1):
            self.add_module(f"group{index}", ResidualGroup(width, blocks, **place))
            self.feature_info.append({"num_chs": width, "reduction": 1, "module": f"group{index}"})
        self.num_features = self.head_hidden_size = width
        self.global_pool, self.fc = create_classifier(width, num_classes, pool_type=global_pool, **place)

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm asks for it."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """A new last layer for another number of classes."""
        self.num_classes = num_classes
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to (B, width, H, W)."""
        x = self.stem(x)
        for index in range(1, self.groups + 1):
            x = getattr(self, f"group{index}")(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The outputs of stem (0) and groups (from 1), as timm's models give them."""
        if output_fmt != "NCHW":
            raise ValueError(f"maps are NCHW, not {output_fmt!r}")
        wanted, last = take_indices(self.groups + 1, indices)
        found = []
        x = self.stem(x)
        if 0 in wanted:
            found.append(x)
        for index in range(1, self.groups + 1):
            if stop_early and index > last:
                break
            x = getattr(self, f"group{index}")(x)
            if index in wanted:
                found.append(x)
        return found if intermediates_only else (x, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take off the groups behind the last map that is wanted, and the head; which maps are left."""
        wanted, last = take_indices(self.groups + 1, indices)
        for index in range(last + 1, self.groups + 1):
            setattr(self, f"group{index}", nn.Sequential())
        if prune_head:
            self.reset_classifier(0, "")
        return wanted

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The pooled map to logits."""
        x = self.global_pool(x)
        x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))


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

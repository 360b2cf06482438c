"""CIFAR ResNets for timm, which has none: He, Zhang, Ren, Sun, "Deep Residual Learning" (2016), section 4.2.

``cifar_resnet8/14/20/32/56``: a 3x3 stem of stride 1, three stages of n basic blocks at widths w, 2w, 4w (w = 16),
depth 6 n + 2. Built from timm's own blocks and registered with timm, so they are ordinary timm models; ``width``
is one more keyword argument.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, make_blocks
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.network.staged import StagedNet


class SkippingConv2d(nn.Conv2d):
    """A 1x1 convolution of stride 2, (B, C, H, W) to (B, D, H / 2, W / 2), that leaves the pixels out first.

    The numbers are those of ``nn.Conv2d``, whose backward pass in channels_last ends the process on a CPU (oneDNN of
    torch 2.14 on an Intel Xeon, 2026-11-26) where C < 16 and D <= 16 on maps of 56 pixels and more.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Every other pixel, weighted."""
        return F.conv2d(x[:, :, ::2, ::2], self.weight, self.bias)


class CifarResNet(StagedNet):
    """A ResNet of three stages for small images, (B, in_chans, H, W) to (B, num_classes)."""

    stage_names = ("layer1", "layer2", "layer3")

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 16,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if type(width) is not int or width < 1:
            raise ValueError(f"width must be an integer above 0, not {width!r}")
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans, self.drop_rate = in_chans, drop_rate
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False, **place)
        self.bn1 = nn.BatchNorm2d(width, **place)
        self.act1 = nn.ReLU(inplace=True)
        # timm's make_blocks halves the map in every stage but the first, and assumes a stem of stride 4.
        stages, info = make_blocks(
            (BasicBlock,) * 3, (width, 2 * width, 4 * width), ((depth - 2) // 6,) * 3, width,
            drop_path_rate=drop_path_rate, **place,
        )  # fmt: skip
        for name, stage in stages:
            self.add_module(name, stage)
        for name in ("layer2", "layer3"):
            shortcut = getattr(self, name)[0].downsample
            plain = shortcut[0]
            if plain.in_channels < 16 and plain.out_channels <= 16:
                shortcut[0] = nn.utils.skip_init(
                    SkippingConv2d, plain.in_channels, plain.out_channels, 1, stride=2, bias=False,
                    device=plain.weight.device, dtype=plain.weight.dtype,
                )  # fmt: skip
        stem = {"num_chs": width, "reduction": 1, "module": "act1"}
        self.feature_info = [stem, *({**entry, "reduction": entry["reduction"] // 4} for entry in info)]
        self.add_head(4 * width, num_classes, global_pool, **place)
        self.init_weights(zero_init_last)

    @torch.no_grad()
    def init_weights(self, zero_init_last: bool = True) -> None:
        """Kaiming initialisation of the convolutions, as timm's ResNet."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init_last and isinstance(module, BasicBlock):
                module.zero_init_last()

    def stem_map(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to (B, width, H, W)."""
        return self.act1(self.bn1(self.conv1(x)))


_CONFIG = {
    "url": "",
    "num_classes": 10,
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "interpolation": "bilinear",
    "crop_pct": 1.0,
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2470, 0.2435, 0.2616),
    "first_conv": "conv1",
    "classifier": "fc",
}
default_cfgs = generate_default_cfgs({f"cifar_resnet{depth}": _CONFIG for depth in (8, 14, 20, 32, 56)})


def _create(name: str, depth: int, pretrained: bool, options: dict[str, Any]) -> CifarResNet:
    return build_model_with_cfg(
        CifarResNet, name, pretrained, depth=depth, feature_cfg={"out_indices": (0, 1, 2, 3)}, **options
    )


@register_model
def cifar_resnet8(pretrained: bool = False, **options: Any) -> CifarResNet:
    """One block per stage; 78 thousand parameters at width 16."""
    return _create("cifar_resnet8", 8, pretrained, options)


@register_model
def cifar_resnet14(pretrained: bool = False, **options: Any) -> CifarResNet:
    """Two blocks per stage."""
    return _create("cifar_resnet14", 14, pretrained, options)


@register_model
def cifar_resnet20(pretrained: bool = False, **options: Any) -> CifarResNet:
    """Three blocks per stage; 272 thousand parameters at width 16."""
    return _create("cifar_resnet20", 20, pretrained, options)


@register_model
def cifar_resnet32(pretrained: bool = False, **options: Any) -> CifarResNet:
    """Five blocks per stage."""
    return _create("cifar_resnet32", 32, pretrained, options)


@register_model
def cifar_resnet56(pretrained: bool = False, **options: Any) -> CifarResNet:
    """Nine blocks per stage; 856 thousand parameters at width 16."""
    return _create("cifar_resnet56", 56, pretrained, options)

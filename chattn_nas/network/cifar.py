"""CIFAR ResNets for timm, which has none: He, Zhang, Ren, Sun, "Deep Residual Learning" (2016), section 4.2.

``cifar_resnet8/14/20/32/56``: a 3x3 stem of stride 1, three stages of n basic blocks at widths w, 2w, 4w (w = 16),
depth 6 n + 2. Built from timm's own blocks and registered with timm, so they are ordinary timm models; ``width``
is one more keyword argument.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, make_blocks
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.network._timm import take_indices


class SkippingConv2d(nn.Conv2d):
    """A 1x1 convolution of stride 2, (B, C, H, W) to (B, D, H / 2, W / 2), that leaves the pixels out first.

    The numbers are those of ``nn.Conv2d``, whose backward pass in channels_last ends the process on a CPU (oneDNN of
    torch 2.14 on an Intel Xeon, 2026-11-26) where C < 16 and D <= 16 on maps of 56 pixels and more.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Every other pixel, weighted."""
        return F.conv2d(x[:, :, ::2, ::2], self.weight, self.bias)


class CifarResNet(nn.Module):
    """A ResNet of three stages for small images, (B, in_chans, H, W) to (B, num_classes)."""

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module

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
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False, **place)
        self.bn1 = nn.BatchNorm2d(width, **place)
        self.act1 = nn.ReLU(inplace=True)
        # timm's make_blocks halves the map in every stage but the first, and tells reductions for a stem of stride 4.
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
        self.num_features = self.head_hidden_size = 4 * width
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool, **place)
        self.init_weights(zero_init_last)

    @torch.no_grad()
    def init_weights(self, zero_init_last: bool = True) -> None:
        """Kaiming initialisation of the convolutions, as timm's ResNet."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init_last and isinstance(module, BasicBlock):
                module.zero_init_last()

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm asks for it."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """A new last layer for another number of classes."""
        self.num_classes = num_classes
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to (B, 4 width, H / 4, W / 4)."""
        x = self.act1(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The outputs of stem (0) and stages (1 to 3), as timm's models give them.

        Args:
            x: Images (B, in_chans, H, W).
            indices: Which; the last n where it is a number, all by default.
            norm: There is no norm behind a stage; without effect.
            stop_early: Run nothing behind the last one.
            output_fmt: ``NCHW``.
            intermediates_only: Leave out the last map itself.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"maps are NCHW, not {output_fmt!r}")
        wanted, last = take_indices(4, indices)
        found = []
        x = self.act1(self.bn1(self.conv1(x)))
        if 0 in wanted:
            found.append(x)
        for index, stage in enumerate((self.layer1, self.layer2, self.layer3), 1):
            if stop_early and index > last:
                break
            x = stage(x)
            if index in wanted:
                found.append(x)
        return found if intermediates_only else (x, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take off the stages behind the last map that is wanted, and the head; which maps are left."""
        wanted, last = take_indices(4, indices)
        for index in range(last + 1, 4):
            setattr(self, f"layer{index}", nn.Sequential())
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

"""Cases of the conformance battery of attention types: a type, a site and values for its hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas import attention
from chattn_nas.attention import AttentionType, Size

#: Tried in this order until the type can sit there: small, odd and not square first.
SITES: tuple[tuple[int, Size], ...] = (
    (16, (5, 7)), (32, (8, 8)), (64, (7, 14)), (64, (16, 16)), (128, (8, 8)), (256, (8, 8)),
)  # fmt: skip


class Applied(nn.Module):
    """A module of stage scope as one from map to map: applied twice, with its state passed on.

    Args:
        module: ``forward(x, state=None) -> (y, state)``.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y, state = self.module(x)
        return self.module(y, state)[0]


@dataclass(frozen=True)
class Case:
    """An attention type at a site.

    Attributes:
        type: Name, or ``module:Class``.
        channels: C.
        feature_size: (H, W).
        values: Hyperparameters that differ from the defaults.
        num_classes: For types that need it.
    """

    type: str
    channels: int
    feature_size: Size
    values: tuple[tuple[str, Any], ...] = ()
    num_classes: int = 5

    @property
    def kind(self) -> AttentionType:
        """The registry entry."""
        return attention.get(self.type)

    @property
    def complete(self) -> dict[str, Any]:
        """Every hyperparameter, defaults filled in."""
        return self.kind.complete(dict(self.values))

    def fresh(self, seed: int = 0) -> nn.Module:
        """A new module under a seed, in train mode; a module of stage scope is not wrapped."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return attention.build(
                self.type,
                self.channels,
                feature_size=self.feature_size,
                num_classes=self.num_classes,
                **dict(self.values),
            )

    def build(self, seed: int = 0) -> nn.Module:
        """A module from map to map, with its parameters moved off their start so that every gate has an effect."""
        module = self.fresh(seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        return Applied(module) if self.kind.scope == "stage" else module

    def input(self, batch: int = 4, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
        """A map of shape (batch, C, H, W), channels of different mean and spread, no channel negative throughout."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, self.channels, *self.feature_size, generator=generator, dtype=torch.float64)
        spread = 0.5 + torch.rand(batch, self.channels, 1, 1, generator=generator, dtype=torch.float64)
        return (spread * (x + 0.3)).to(dtype)

    def __str__(self) -> str:
        height, width = self.feature_size
        settings = ",".join(f"{key}={value}" for key, value in self.values)
        return f"{self.type}-{self.channels}x{height}x{width}{'-' + settings if settings else ''}"


def cases(name: str) -> list[Case]:
    """The default settings of a type, then every other listed value of each hyperparameter alone.

    Args:
        name: A registered type or ``module:Class``.

    Raises:
        InputError: The type is unknown, or cannot sit at any of :data:`SITES`.
    """
    kind = attention.get(name)
    settings: list[dict[str, Any]] = [{}]
    for key, domain in kind.hyperparameters.items():
        settings += [{key: value} for value in domain.values if value != domain.default]
    return [_placed(name, values) for values in settings]


def _placed(name: str, values: dict[str, Any]) -> Case:
    kind = attention.get(name)
    for channels, size in SITES:
        if channels >= kind.minimal_channels and not kind.problem(channels, size, kind.complete(values)):
            return Case(name, channels, size, tuple(values.items()))
    kind.check(*SITES[-1], kind.complete(values))
    raise AssertionError("unreachable: the last site was refused above")

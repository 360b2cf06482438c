"""What an attention type is: its class, its hyperparameters, its requirements and its costs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from chattn_nas.errors import InputError

if TYPE_CHECKING:  # reading a spec needs no torch
    from torch import nn

Size = tuple[int, int]
Values = Mapping[str, Any]
#: One place where an attention module would sit: its channels and its feature size (height, width).
Site = tuple[int, Size]
Placement = Literal["before_add", "before_block", "after_add", "before_convs", "after_spatial_conv", "before_last_conv"]
Blocks = Literal["all", "last", "alternate"]

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
BLOCKS: tuple[Blocks, ...] = ("all", "last", "alternate")


class Hyperparameter:
    """A domain: the values worth searching, default first, and which others are allowed.

    Args:
        default, *others: The values that a search takes when the spec says ``search``; the first is the default.
        minimum: For numbers: any value of the default's type from here up is allowed, listed or not.
            Without it only the listed values are allowed.
        maximum: The largest of these, if there is one.
        anything: Any value of the default's type is allowed; any value at all if that is ``None``.
    """

    def __init__(
        self, default: Any, *others: Any, minimum: float | None = None, maximum: float | None = None,
        anything: bool = False,
    ) -> None:  # fmt: skip
        self.default = default
        self.values = (default, *others)
        self.minimum, self.maximum = minimum, maximum
        self.anything = anything

    def check(self, name: str, value: Any) -> None:
        """Raise :class:`InputError` unless ``value`` is allowed for the hyperparameter called ``name``."""
        number = type(next((v for v in self.values if v is not None), None))
        value = float(value) if number is float and type(value) is int else value  # YAML's 0 is 0.0
        if any(value == known and type(value) is type(known) for known in self.values):
            return
        if self.anything:
            if self.default is not None and type(value) is not number:
                raise InputError(f"{name} must be {number.__name__}, not {value!r}", where=(name,), value=value)
            return
        if self.minimum is None:
            raise InputError(f"{name} cannot be {value!r}", where=(name,), value=value, choices=self.values)
        most = sys.float_info.max if self.maximum is None else self.maximum  # infinity is none
        if type(value) is not number or not self.minimum <= value <= most:  # type: ignore[operator]
            limits = f">= {self.minimum}" if self.maximum is None else f"from {self.minimum} to {self.maximum}"
            raise InputError(f"{name} must be {number.__name__} {limits}, not {value!r}", where=(name,))


def no_problem(channels: int, feature_size: Size, values: Values) -> str | None:
    """The default of ``problem``: the type fits everywhere."""
    return None


def unchanged(values: Values, sites: Sequence[Site]) -> Values:
    """The default of ``canonical``: different values compute different things."""
    return values


@dataclass(frozen=True, kw_only=True)
class AttentionType:
    """A registry entry.

    Attributes:
        name: What a spec calls it.
        cls: The module class (or a function that makes the module): ``channels`` first and positional, everything
            else keyword-only; maps (B, C, H, W) to the same shape. With ``scope="stage"``:
            ``forward(x, state=None) -> (y, state)``. Class attributes: ``no_weight_decay`` (see below), and
            ``starts_as_identity = True`` where a fresh module is the identity already.
        title, year: The paper's title and year; empty and 0 if there is none.
        paper: Where to find the paper: ``arXiv:1709.01507``, or the conference.
        looks_at: What its gates distinguish: ``channels``, ``positions``, ``channels and positions`` or ``nothing``.
            Unless that is ``channels``, the cost grows with the map.
        hyperparameters: Name to domain.
        parameters: Closed formula ``(channels, feature_size, values) -> int``.
        macs: Closed formula for multiply-accumulates per sample, as ``FlopCounterMode`` counts them
            (convolutions, matrix products; nothing elementwise, no pooling).
        problem: ``(channels, feature_size, values) -> None | str``: why it cannot be built there.
        canonical: ``(values, sites) -> values``: one form for all values that compute the same at all of these
            sites.
        scope: ``block``: independent modules. ``stage``: one module shared by the blocks of a stage.
        placement, blocks: The authors' own place, where it is one of ours.
        placements: Every place this type may take.
        needs_feature_size: The constructor takes ``feature_size``.
        needs_num_classes: The constructor takes ``num_classes``.
        minimal_channels: Smallest possible number of channels.
        needs_batch: Training needs more than one sample.
        needs_map: It needs a map larger than 1x1.
    """

    name: str
    cls: Callable[..., nn.Module]
    title: str = ""
    year: int = 0
    paper: str = ""
    looks_at: str = "channels"
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    parameters: Callable[[int, Size, Values], int]
    macs: Callable[[int, Size, Values], int]
    problem: Callable[[int, Size, Values], str | None] = no_problem
    canonical: Callable[[Values, Sequence[Site]], Values] = unchanged
    scope: Literal["block", "stage"] = "block"
    placement: Placement = "before_add"
    blocks: Blocks = "all"
    placements: tuple[Placement, ...] = PLACEMENTS
    needs_feature_size: bool = False
    needs_num_classes: bool = False
    minimal_channels: int = 1
    needs_batch: bool = False
    needs_map: bool = False

    @property
    def defaults(self) -> dict[str, Any]:
        """Default value of every hyperparameter."""
        return {name: domain.default for name, domain in self.hyperparameters.items()}

    @property
    def no_weight_decay(self) -> tuple[str, ...]:
        """Parameters that the authors train without weight decay, named relative to the module."""
        return getattr(self.cls, "no_weight_decay", ())

    def complete(self, values: Values) -> dict[str, Any]:
        """Check ``values`` and fill in the defaults.

        Raises:
            InputError: A hyperparameter is unknown, or a value is outside its domain.
        """
        for name, value in values.items():
            if name not in self.hyperparameters:
                raise InputError(
                    f"{self.name} has no hyperparameter {name!r}",
                    where=(name,),
                    value=name,
                    choices=self.hyperparameters,
                )
            self.hyperparameters[name].check(name, value)
        return {
            name: float(value) if type(self.hyperparameters[name].default) is float and value is not None else value
            for name, value in (self.defaults | dict(values)).items()
        }

    def why_not(self, channels: int, feature_size: Size, values: Values) -> str | None:
        """Why this type cannot be built at a site; ``None`` if it can."""
        if channels < self.minimal_channels:
            return f"it needs at least {self.minimal_channels} channels"
        if self.needs_map and feature_size == (1, 1):
            return "it needs a map larger than 1x1"
        return self.problem(channels, feature_size, values)

    def check(self, channels: int, feature_size: Size, values: Values) -> None:
        """Raise :class:`InputError` with the reason if this type cannot be built at a site."""
        height, width = feature_size
        if problem := self.why_not(channels, feature_size, values):
            raise InputError(f"{self.name} cannot sit on {channels} channels of {height}x{width}: {problem}")

    def build(self, channels: int, feature_size: Size | None, num_classes: int | None, values: Values) -> nn.Module:
        """Build a module with values from :meth:`complete`; its attribute ``built`` records them.

        Raises:
            InputError: It cannot be built at this site.
        """
        given = {"feature_size": feature_size, "num_classes": num_classes}
        needs = {key: value for key, value in given.items() if getattr(self, f"needs_{key}")}
        for key, value in needs.items():
            if value is None:
                raise InputError(f"{self.name} needs {key}")
        self.check(channels, feature_size or (2, 2), values)
        arguments = {**needs, **values}
        module = self.cls(channels, **arguments)
        module.built = Built(self.name, channels, arguments)  # type: ignore[assignment]
        return module


@dataclass(frozen=True)
class Built:
    """How a module was built, for the export: ``get(type).cls(channels, **arguments)``.

    Attributes:
        type: Name of its attention type.
        channels: First argument of the constructor.
        arguments: The others, defaults filled in.
    """

    type: str
    channels: int
    arguments: Mapping[str, Any]

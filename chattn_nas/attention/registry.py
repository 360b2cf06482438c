"""The registry of attention types, with their hyperparameters, requirements and costs.

A type is one file with one class, registered by decorator::

    @register("eca", title="ECA-Net: ...", year=2020, hyperparameters={"gamma": Hyperparameter(2, 1), ...}, ...)
    class ECA(nn.Module):
        def __init__(self, channels: int, *, gamma: int = 2, ...): ...

Third parties register through the entry-point group ``chattn_nas.attention`` (an entry loads a decorated class), or
a spec names ``module:Class``: of a decorated class, or of a plain ``nn.Module`` that takes channels first.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.parts import found

if TYPE_CHECKING:  # reading a spec needs no torch
    from torch import nn

Size = tuple[int, int]
Values = Mapping[str, Any]
#: One place where an attention module would sit: its channels and its feature size (height, width).
Site = tuple[int, Size]
Placement = Literal["before_add", "before_block", "after_add", "before_convs", "after_spatial_conv", "before_last_conv"]
Blocks = Literal["all", "last", "alternate"]
Maker = TypeVar("Maker", bound="Callable[..., nn.Module]")

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
BLOCKS: tuple[Blocks, ...] = ("all", "last", "alternate")


class Hyperparameter:
    """A domain: the values worth searching, default first, and which others are allowed.

    Args:
        default, *others: The values that a search takes when the spec says ``search``; the first is the default.
        minimum: For numbers: any value of the default's type from here up is allowed, listed or not.
            Without it only the listed values are allowed.
        anything: Any value of the default's type is allowed; any value at all if that is ``None``.
    """

    def __init__(self, default: Any, *others: Any, minimum: float | None = None, anything: bool = False) -> None:
        self.default = default
        self.values = (default, *others)
        self.minimum = minimum
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
        if type(value) is not number or value < self.minimum:  # type: ignore[operator]
            raise InputError(f"{name} must be {number.__name__} >= {self.minimum}, not {value!r}", where=(name,))


def _no_problem(channels: int, feature_size: Size, values: Values) -> str | None:
    return None


def _unchanged(values: Values, sites: Sequence[Site]) -> Values:
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
    problem: Callable[[int, Size, Values], str | None] = _no_problem
    canonical: Callable[[Values, Sequence[Site]], Values] = _unchanged
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


_types: dict[str, AttentionType] = {}
_unregistered: dict[str, AttentionType] = {}
_refused: dict[str, str] = {}


def register(
    name: str,
    *,
    parameters: Callable[[int, Size, Values], int],
    macs: Callable[[int, Size, Values], int],
    title: str = "",
    year: int = 0,
    paper: str = "",
    looks_at: str = "channels",
    hyperparameters: Mapping[str, Hyperparameter] | None = None,
    problem: Callable[[int, Size, Values], str | None] = _no_problem,
    canonical: Callable[[Values, Sequence[Site]], Values] = _unchanged,
    scope: Literal["block", "stage"] = "block",
    placement: Placement = "before_add",
    blocks: Blocks = "all",
    placements: tuple[Placement, ...] = PLACEMENTS,
    needs_feature_size: bool = False,
    needs_num_classes: bool = False,
    minimal_channels: int = 1,
    needs_batch: bool = False,
    needs_map: bool = False,
) -> Callable[[Maker], Maker]:
    """Class decorator that adds an :class:`AttentionType`; the arguments are its attributes.

    Raises:
        ValueError: The name is taken by another class.
    """

    def add(cls: Maker) -> Maker:
        """Register the class, and return it unchanged."""
        known = _types.get(name)
        if known is not None and _place(known.cls) != _place(cls):
            raise ValueError(f"attention type {name!r} is already registered by {known.cls.__module__}")
        _types[name] = AttentionType(
            name=name, cls=cls, title=title, year=year, paper=paper, looks_at=looks_at,
            hyperparameters=hyperparameters or {}, parameters=parameters, macs=macs, problem=problem,
            canonical=canonical, scope=scope, placement=placement, blocks=blocks, placements=placements,
            needs_feature_size=needs_feature_size, needs_num_classes=needs_num_classes,
            minimal_channels=minimal_channels, needs_batch=needs_batch, needs_map=needs_map,
        )  # fmt: skip
        return cls

    return add


def _place(cls: Callable[..., nn.Module]) -> tuple[str, str]:
    # By name, not identity: a module that is imported again (reload, pytest) brings an equal class.
    return cls.__module__, getattr(cls, "__qualname__", "")


def refuse(name: str, reason: str) -> None:
    """Let :func:`get` refuse ``name`` with a reason instead of "unknown", for names known not to work."""
    _refused[name] = reason


@cache
def _load() -> None:
    """Import the modules beside this one, which register our types, and plug-ins, which register theirs."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    for entry in entry_points(group="chattn_nas.attention"):
        try:
            entry.load()
        except Exception as error:  # somebody else's code: it must not take the built-in types with it
            warnings.warn(f"attention plugin {entry.name} = {entry.value} cannot be loaded: {error}", stacklevel=2)


def names() -> tuple[str, ...]:
    """The names of all registered types, plugins included, sorted."""
    _load()
    return tuple(sorted(_types))


def get(name: str) -> AttentionType:
    """Return the type registered under ``name``, or that of the class ``module:Class``.

    Raises:
        InputError: There is no such type; the message lists the known ones.
    """
    _load()
    if not isinstance(name, str):
        raise InputError(f"an attention type is named by a text, not {name!r}")
    if name in _types:
        return _types[name]
    if name in _refused:
        raise InputError(f"attention type {name!r} cannot be used: {_refused[name]}", value=name)
    if ":" in name:
        return _from_path(name)
    if "." in name:
        module, _, cls = name.rpartition(".")
        raise InputError(f"unknown attention type {name!r}: a class of your own is named '{module}:{cls}'")
    raise InputError(f"unknown attention type {name!r}", value=name, choices=names())


def registered(name: str) -> AttentionType | None:
    """Return the type of that name if it is registered, without importing what the name says.

    Reading data, such as the trials of a run from somebody else, must not run their code.
    """
    _load()
    return _types.get(name) or next((kind for kind in _types.values() if _path_of(kind) == name), None)


def _path_of(kind: AttentionType) -> str:
    return ":".join(_place(kind.cls))


def _from_path(path: str) -> AttentionType:
    cls = found(path, "an attention", ())
    for known in _types.values():
        if known.cls is cls:
            return known
    if path not in _unregistered or _unregistered[path].cls is not cls:
        from chattn_nas.attention.unregistered import describe  # it needs this module

        _unregistered[path] = describe(path, cls)
    return _unregistered[path]


@checked
def build(
    name: str,
    channels: int,
    *,
    feature_size: Size | None = None,
    num_classes: int | None = None,
    **hyperparameters: Any,
) -> nn.Module:
    """Build an attention module for maps of shape (B, ``channels``, H, W).

    Args:
        name: A registered type or ``module:Class``.
        channels: C of the map.
        feature_size: (H, W) at build time; needed by types whose ``needs_feature_size`` is set.
        num_classes: Needed by types whose ``needs_num_classes`` is set.
        hyperparameters: Checked against the type's domains; those left out take their defaults.

    Raises:
        InputError: The type or a hyperparameter is unknown, a value is outside its domain, or the site is impossible.
    """
    kind = get(name)
    return kind.build(channels, feature_size, num_classes, kind.complete(hyperparameters))

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
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from chattn_nas.arguments import checked
from chattn_nas.attention.attention_type import PLACEMENTS, AttentionType, Blocks, Placement, no_problem, unchanged
from chattn_nas.attention.attention_type import Hyperparameter as Hyperparameter
from chattn_nas.attention.attention_type import Site as Site
from chattn_nas.attention.attention_type import Size as Size
from chattn_nas.attention.attention_type import Values as Values
from chattn_nas.errors import InputError, similar
from chattn_nas.parts import load_object

if TYPE_CHECKING:  # reading a spec needs no torch
    from torch import nn

Maker = TypeVar("Maker", bound="Callable[..., nn.Module]")

#: Words that stand for no attention elsewhere.
NOTHING = {
    "",
    "-",
    "no",
    "nothing",
    "no_attention",
    "null",
    "nil",
    "off",
    "false",
    "identity",
    "skip",
    "baseline",
    "plain",
}

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
    problem: Callable[[int, Size, Values], str | None] = no_problem,
    canonical: Callable[[Values, Sequence[Site]], Values] = unchanged,
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
    if (meant := re.sub("[:._]", "/", name, count=1)) in _types:
        raise InputError(f"unknown attention type {name!r}; did you mean {meant!r}?")
    if ":" in name:
        return _from_path(name)
    if name.endswith(".py"):
        raise InputError(f"unknown attention type {name!r}: a class of your own is named '{Path(name).stem}:CLASS'")
    if "." in name:
        module, _, cls = name.rpartition(".")
        raise InputError(f"unknown attention type {name!r}: a class of your own is named '{module}:{cls}'")
    if (call := re.fullmatch(r"(\w+) *\((.*)\)", name)) and call[1] in _types:
        settings = call[2].replace("=", ": ")
        raise InputError(f"unknown attention type {name!r}: settings are written {{{call[1]}: {{{settings}}}}}")
    if name.lower() in NOTHING:
        raise InputError(f"unknown attention type {name!r}: no attention is written none")
    own = "" if similar(name, list(_types)) else ", nor a class of your own, which is named module:CLASS"
    raise InputError(f"unknown attention type {name!r}{own}", value=name, choices=names())


def registered(name: str) -> AttentionType | None:
    """Return the type of that name if it is registered, without importing what the name says.

    Reading data, such as the trials of a run from somebody else, must not run their code.
    """
    _load()
    return _types.get(name) or next((kind for kind in _types.values() if _path_of(kind) == name), None)


def _path_of(kind: AttentionType) -> str:
    return ":".join(_place(kind.cls))


def _from_path(path: str) -> AttentionType:
    cls = load_object(path, "an attention", ())
    for known in _types.values():
        if known.cls is cls:
            return known
    if path not in _unregistered or _unregistered[path].cls is not cls:
        from chattn_nas.attention.unregistered import describe  # it imports torch

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

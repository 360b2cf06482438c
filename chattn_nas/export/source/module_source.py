"""One module as source, before classes are shared: its methods, with placeholders where instances may differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from chattn_nas.export.source.leaf import call_arguments, is_norm_act, literal, torch_base
from chattn_nas.export.source.refusal import Refusal


@dataclass(frozen=True)
class Placeholder:
    """A constant inside the methods: the same in all instances, or else a constructor argument.

    Attributes:
        value: The constant.
        name: The module's name for it, if known.
    """

    value: Any
    name: str = ""

    @property
    def text(self) -> str:
        """The constant as source; raises :class:`Refusal` where there is none."""
        return literal(self.value)


@dataclass(frozen=True)
class ModuleSource:
    """One module, ready to be written as an instance of a generated class.

    Attributes:
        origin: The class that it comes from.
        methods: Source of its methods, unindented, one statement per line; ``placeholder_3__`` stands for
            ``placeholders[3]``.
        placeholders: The constants.
        children: Names of the child modules that the constructor takes.
        tensors: Names of its own parameters and buffers.
        functions: Source of module-level functions and constants that the methods call, by name.
        imports: Import lines beside torch's.
        bases: Text of the base class.
        references: Modules that it calls but does not own, by the attribute that holds them in a tuple.
        child_methods: Its descendants, with the methods besides ``forward`` that it calls.
        base_arguments: Constructor arguments of the base, if that is one of torch's own layers.
    """

    origin: type
    methods: str
    placeholders: tuple[Placeholder, ...] = ()
    children: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    bases: str = "nn.Module"
    base_arguments: str | None = None
    references: tuple[tuple[str, nn.Module], ...] = ()
    child_methods: tuple[tuple[nn.Module, str], ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """The key under which modules share a class."""
        return (
            self.origin,
            self.methods,
            self.children,
            self.tensors,
            self.bases,
            tuple(name for name, _ in self.references),
        )


def origin_of(original: Any) -> str:
    """One sentence on the class or function from which the generated one was written."""
    credit = " (Apache-2.0)" if original.__module__.startswith("timm") else ""
    return f"From {original.__module__}.{original.__qualname__}{credit}."


def children_and_base(module: nn.Module, used: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Names of the children that a class for ``module`` must have, and its base class.

    A child that is never called and has no weights is left out, except from containers.

    Raises:
        Refusal: A name is not possible as that of an argument.
    """
    names = tuple(name for name, child in module._modules.items() if child is not None)  # one may bear two names
    base = next((b for b in (nn.Sequential, nn.ModuleList, nn.ModuleDict) if isinstance(module, b)), nn.Module)
    if base is not nn.Module and names == tuple(str(i) for i in range(len(names))):
        return names, f"nn.{base.__name__}"
    if not all(name.isidentifier() for name in names):
        raise Refusal(f"its children are called {', '.join(names[:5])}")
    if base is nn.Module:
        names = tuple(name for name in names if name in used or module._modules[name].state_dict())  # type: ignore[union-attr]
    return names, f"nn.{base.__name__}"


def on_torch_base(module: nn.Module, source: ModuleSource) -> ModuleSource:
    """Turn the source into a subclass of torch's own layer, if the original is one without further tensors."""
    base = torch_base(module)
    if base is None:
        return source
    try:
        arguments = call_arguments(module, base)
    except Refusal:
        return source
    methods = source.methods
    if is_norm_act(module) and source.children == ("act",):
        methods = "def forward(self, x):\n    return self.act(super().forward(x))"
    return replace(source, methods=methods, bases=f"nn.{base.__name__}", tensors=(), base_arguments=arguments)


def own_tensors(module: nn.Module) -> tuple[str, ...]:
    """Names of the parameters and buffers that ``module`` itself holds."""
    return tuple(name for name, value in [*module._parameters.items(), *module._buffers.items()] if value is not None)


def holder(module: nn.Module, used: Collection[str]) -> ModuleSource:
    """A source without ``forward``, for a module that is never called and only holds its children and tensors.

    Raises:
        Refusal: A child's name is not possible as that of an argument.
    """
    children, base = children_and_base(module, used)
    return ModuleSource(origin=type(module), methods="", children=children, tensors=own_tensors(module), bases=base)

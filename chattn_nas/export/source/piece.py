"""What is known of one module before classes are shared: its methods, with holes where instances may differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chattn_nas.export.source.leaf import literal


@dataclass(frozen=True)
class Hole:
    """A constant inside the methods: the same in all instances, or else a constructor argument.

    Attributes:
        text: The constant as source.
        value: The constant.
        name: What the module calls it, where that is known.
    """

    value: Any
    name: str = ""

    @property
    def text(self) -> str:
        """The constant as source; raises :class:`Refusal` where there is none."""
        return literal(self.value)


@dataclass(frozen=True)
class Piece:
    """One module, ready to be written as an instance of a generated class.

    Attributes:
        origin: The class it comes from.
        methods: Source of its methods, unindented, one statement per line; ``hole_3__`` stands for ``holes[3]``.
        holes: The constants.
        children: Names of the child modules that are handed in.
        tensors: Names of its own parameters and buffers.
        functions: Source of module-level functions and constants that the methods call, by name.
        imports: Import lines beside torch's.
        bases: Text of the base class.
        note: One more sentence for the docstring.
    """

    origin: type
    methods: str
    holes: tuple[Hole, ...] = ()
    children: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    bases: str = "nn.Module"
    note: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """Modules of one key share a class."""
        return self.origin, self.methods, self.children, self.tensors, self.bases

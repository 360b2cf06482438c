"""Names of the variables in a generated ``forward``."""

from __future__ import annotations

import keyword
import re

_TENSORS = ("x", "y", "z", "u", "v", "w")
_TAKEN = {"self", "torch", "nn", "F", "math", "super", "len", "int", "float", "max", "min", "sum", "tuple", "list"}


class Names:
    """Hands out names that are neither taken nor Python keywords."""

    def __init__(self) -> None:
        self._live: set[str] = set()

    def claim(self, name: str) -> str:
        """Claim exactly this name, for an argument."""
        self._live.add(name)
        return name

    def release(self, name: str) -> None:
        """Free a name that nothing reads any more."""
        self._live.discard(name)

    def new(self, preferred: str, *, tensor: bool) -> str:
        """Return a free name: a short one for feature maps, else ``preferred``, with a number if it is taken."""
        for name in _TENSORS if tensor else ():
            if name not in self._live:
                return self.claim(name)
        base = re.sub(r"\W", "_", preferred).strip("_").lower()
        base = base if base.isidentifier() else f"y{base}"
        number, name = 1, base
        while name in self._live or name in _TAKEN or keyword.iskeyword(name):
            number += 1
            name = f"{base}{number}"
        return self.claim(name)

"""How ``model.py`` answers an image that may be of several classes; copied into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CLASS_NAMES: tuple[str, ...] = ()


def answer(output: Any, path: str | Path) -> None:
    """Print every class that one image shows with a probability of a half or more, and the likeliest five."""
    probabilities = output.sigmoid()[0]
    for rank, index in enumerate(probabilities.argsort(descending=True).tolist()):
        if rank < 5 or probabilities[index] >= 0.5:
            name = CLASS_NAMES[index] if CLASS_NAMES else f"class {index}"
            print(f"{'yes' if probabilities[index] >= 0.5 else 'no ':3}  {100 * probabilities[index]:6.2f} %  {name}")

"""Hatchling's hook for what an index shows of this project: the README, with links that work there.

Outside the repository its relative links and pictures lead nowhere. So where ``project.urls`` of ``pyproject.toml``
names a ``Repository``, they become whole addresses in it; where it names none, links become their text and pictures go.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def for_an_index(text: str, repository: str | None) -> str:
    """Markdown whose relative links are whole, or gone where nobody knows what they start with."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if repository is None:
            return "" if picture else words
        return f"{picture}[{words}]({repository.rstrip('/')}/{'raw' if picture else 'blob'}/main/{path})"

    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(link, text))


class LongDescription(MetadataHookInterface):
    """Fills in ``project.readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """As hatchling calls it, with what ``[project]`` holds."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        shown = for_an_index(text, metadata.get("urls", {}).get("Repository"))
        metadata["readme"] = {"content-type": "text/markdown", "text": shown}

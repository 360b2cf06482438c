"""Hatchling's hook for what an index shows of this project: the README, with links that work there.

Outside the repository its relative links and pictures lead nowhere. So where ``project.urls`` of ``pyproject.toml``
names a ``Repository``, they become whole addresses in it. Where it names none, pages of the documentation are named by
the command that shows them (they come with the package), other links become their text, and pictures go: an index
shows none that are written into the text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")
#: A link to a file that is in the repository alone, and nothing else in brackets.
_ASIDE = re.compile(r"\s+\(\[[^\]]*\]\((?!docs/|[a-z]+:|#)[^)\s]+\)\)")


def for_an_index(text: str, repository: str | None) -> str:
    """Markdown whose relative links are whole, or said otherwise where nobody knows what they start with."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if repository is not None:
            return f"{picture}[{words}]({repository.rstrip('/')}/{'raw' if picture else 'blob'}/main/{path})"
        page = re.fullmatch(r"docs/([\w-]+)\.md(?:#.*)?", path)
        if picture or page is None:
            return "" if picture else words
        if page[1] == "index":
            return words
        return f"`chattn-nas docs {page[1]}`" if words == path else f"{words}: `chattn-nas docs {page[1]}`"

    if repository is None:
        text = _ASIDE.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(link, text))


class LongDescription(MetadataHookInterface):
    """Fills in ``project.readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """As hatchling calls it, with what ``[project]`` holds."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        shown = for_an_index(text, metadata.get("urls", {}).get("Repository"))
        metadata["readme"] = {"content-type": "text/markdown", "text": shown}

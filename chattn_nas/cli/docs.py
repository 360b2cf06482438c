"""The command ``docs``: the pages of the documentation, which come with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import AsJson, command, console, print_json, print_table, say
from chattn_nas.errors import InputError

_PACKAGE = Path(__file__).parents[1]
#: Not to be read in a terminal: the list itself, and what is filled in from docstrings.
_LEFT_OUT = ("index", "reference")


def pages() -> dict[str, Path]:
    """Every page by its name: inside the package in an installation, beside it in a checkout."""
    for folder in (_PACKAGE / "docs", _PACKAGE.parent / "docs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem not in _LEFT_OUT}
    return {}


def _completed(incomplete: str) -> list[str]:
    return [name for name in pages() if name.startswith(incomplete)]


@command("Start", "chattn-nas docs data")
def docs(
    page: Annotated[
        str | None, typer.Argument(metavar="[PAGE]", help="One of them; default: list all.", autocompletion=_completed)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the documentation: on a terminal laid out, elsewhere as Markdown."""
    known = pages()
    if page is None:
        rows = [{"page": name, "what it is about": _heading(path)} for name, path in known.items()]
        if as_json:
            print_json(rows)
        print_table(rows, "Documentation: chattn-nas docs PAGE", whole=("page",))
        return
    name = Path(page).stem  # docs/data.md is called so in other texts
    if name not in known:
        raise InputError(f"there is no page {page!r}", value=name, choices=tuple(known))
    text = known[name].read_text(encoding="utf-8")
    if as_json:
        print_json({"page": name, "text": text})
    elif console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(re.sub(r"<!--.*?-->", "", text, flags=re.S)))
    else:
        say(text)


def _heading(path: Path) -> str:
    """The page's title in the list of pages, else its heading."""
    index = path.with_name("index.md").read_text(encoding="utf-8")
    entry = re.search(rf"\[([^\]]+)\]\({path.name}\)([^\n]*)", index)
    if entry is None:
        return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    return "".join(entry.groups()).rstrip(".")

"""Names of classes in a text file, one a line."""

from __future__ import annotations

from collections.abc import Sequence

from chattn_nas.data.tree import Entry, Tree, text_of
from chattn_nas.errors import DataError
from chattn_nas.plural import repeated


def names_in(tree: Tree, entry: Entry) -> list[str]:
    """Read them; empty lines are skipped.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or names two classes alike.
    """
    lines = text_of(tree, entry, "names of classes in ").splitlines()
    return distinct([line.strip() for line in lines if line.strip()], tree.name(entry))


def distinct(names: Sequence[str], called: str) -> list[str]:
    """Return the names.

    Raises:
        DataError: Two are alike.
    """
    if (twice := repeated(names)) is not None:
        raise DataError(f"{called} names two classes {twice!r}", where=("path",))
    return list(names)

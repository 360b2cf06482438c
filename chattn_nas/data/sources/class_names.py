"""Names of classes in a text file, one a line."""

from __future__ import annotations

from collections.abc import Sequence

from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError
from chattn_nas.plural import repeated


def names_in(tree: Tree, entry: Entry) -> list[str]:
    """Read them; empty lines are skipped.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or names two classes alike.
    """
    called = tree.name(entry)
    try:
        text = tree.read(entry).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {called}: {error.strerror or error}", where=("path",)) from None
    except UnicodeDecodeError:
        raise DataError(f"cannot read names of classes in {called}: it is not UTF-8 text", where=("path",)) from None
    return distinct([line.strip() for line in text.splitlines() if line.strip()], called)


def distinct(names: Sequence[str], called: str) -> list[str]:
    """Return the names.

    Raises:
        DataError: Two are alike.
    """
    if (twice := repeated(names)) is not None:
        raise DataError(f"{called} names two classes {twice!r}", where=("path",))
    return list(names)

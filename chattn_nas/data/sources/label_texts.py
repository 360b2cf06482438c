"""Labels as tables write them: several in one cell, and texts that may be no names of classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from chattn_nas.errors import DataError
from chattn_nas.plural import plural

#: What programs write where nothing is known.
UNKNOWN = {"nan", "na", "n/a", "<na>", "null", "?"}
#: Different numbers, and their share of the rows, beyond which they are measured and no classes.
MOST_NUMBERS, MOST_SHARE = 20, 0.25
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def separated(texts: Sequence[str], said: list[str]) -> list[list[str]]:
    """Take the labels in every text apart, by the one sign that this table uses.

    Lists as Python and JSON write them are such a sign; then ``|`` and ``;``, else ``,``, else one label per row where
    rows share a file, else blanks: names may hold whatever does not separate them.

    Args:
        texts: The labels of every file; between those of several rows stands a new line.
        said: Takes a sentence on the sign.
    """
    rows = [text.split("\n") for text in texts]
    cells = [cell for row in rows for cell in row if cell]
    if cells and all(cell[0] == "[" and cell[-1] == "]" for cell in cells):
        said.append("several labels per image stand in lists, as in " + cells[0])
        return [[one for cell in row for one in _listed(cell)] for row in rows]
    signs = [sign for sign in "|;" if any(sign in cell for cell in cells)] or [","] * any("," in cell for cell in cells)
    if signs:
        said.append(f"several labels per image are separated by {' and '.join(map(repr, signs))}")
        by = re.compile(f"[{''.join(signs)}]")
    elif any(len(row) > 1 for row in rows):
        said.append("several labels per image stand in rows of their own")
        by = re.compile("\n")
    else:
        if any(re.search(r"\s", cell) for cell in cells):
            said.append(
                "several labels per image are separated by blanks (names with blanks need another sign: | ; or ,)"
            )
        by = re.compile(r"\s+")
    return [[one for cell in row for piece in by.split(cell) if (one := piece.strip())] for row in rows]


def _listed(cell: str) -> list[str]:
    """The texts in a list: those in quotes, else those between commas."""
    quoted = [one or other for one, other in QUOTED.findall(cell)]
    return quoted or [one for piece in cell[1:-1].split(",") if (one := piece.strip())]


def doubts(labels: Sequence[str], *, numbers: bool = True) -> list[str]:
    """Sentences on labels that may be no names of classes: what stands for nothing, and numbers.

    Args:
        labels: One per row.
        numbers: Whether numbers may be what is to be predicted.

    Raises:
        DataError: They are measured numbers.
    """
    counts = Counter(labels)
    sentences = [
        f"beware: {name!r} ({plural(count, 'row')}) is learned as a class: if it stands for nothing known, take the "
        f"rows out, or leave it out with data.classes: {{{name!r}: null}}"
        for name, count in counts.items()
        if name.lower() in UNKNOWN or name == "None"
    ]
    values = [value for name in counts if (value := _number(name)) is not None]
    if not numbers or not values or len(values) < len(counts):
        return sentences
    between = next((name for name in counts if _number(name) != round(_number(name) or 0)), None)
    if between is None and (len(values) <= MOST_NUMBERS or len(values) > max(values) - min(values)):
        return sentences
    words = f"the labels are {len(values)} different numbers from {min(values):g} to {max(values):g}"
    if between is not None and (len(values) > MOST_NUMBERS or len(values) > MOST_SHARE * len(labels)):
        raise DataError(
            f"{words}, such as {between}: these are no classes, and no built-in task predicts numbers; a task of your "
            "own does (chattn-nas docs extending)",
            where=("label_column",),
        )
    return [*sentences, f"beware: {words}: each is learned as a class of its own, and their order counts for nothing"]


def _number(text: str) -> float | None:
    """A number, also with a decimal comma."""
    if not re.fullmatch(r"[-+]?\d*[.,]?\d+(e[-+]?\d+)?", text, re.I):
        return None
    return float(text.replace(",", "."))

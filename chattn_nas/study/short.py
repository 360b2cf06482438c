"""Attentions in a form that fits a line: ``se8 | eca3 | -`` for ``se(reduction=8) | eca(kernel_size=3) | none``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTHING = "-"


def short(choice: str) -> str:
    """One stage's choice, from its words (:attr:`.Record.choices`): numbers are appended, other values after a dash."""
    name, _, rest = choice.partition("(")
    name = name.rpartition(":")[2]
    if name == "none":
        return NOTHING
    text = name
    for setting in re.findall(r"(\w+)=((?:\([^)]*\)|\[[^\]]*\]|[^,)])*)", rest):
        key, value = setting
        number = re.fullmatch(r"-?\d+(\.\d+)?", value)
        if value in ("True", "False"):
            text += f"-{'' if value == 'True' else 'no-'}{key}"
        elif number and text == name and not name[-1].isdigit():
            text += value
        else:
            text += f"-{value}"
    return text


def short_form(choices: Sequence[str]) -> str:
    """All stages; ``se8 everywhere`` where they are the same."""
    forms = [short(choice) for choice in choices]
    return f"{forms[0]} everywhere" if len(set(forms)) == 1 < len(forms) and forms[0] != NOTHING else " | ".join(forms)


def legend(choices: Iterable[str]) -> list[str]:
    """What the short forms stand for, where that is not plain: ``se8: se(reduction=8)``."""
    long = {short(choice): choice for choice in choices}
    return [f"{form}: {choice}" for form, choice in sorted(long.items()) if form != choice]

"""Short forms of networks that fit a line: ``se8 | eca3 | -`` for ``se(reduction=8) | eca(kernel_size=3) | none``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTHING = "-"
#: How the labels of baselines begin that have one attention in every stage.
UNIFORM = "uniform "
#: A choice in words, and a network in a sentence: all stages, or one choice in every stage.
_SETTINGS = r"\((?:[^()]|\([^()]*\))*\)"
_CHOICE = rf"[\w/.:-]+(?:{_SETTINGS})?"
#: In "the best uniform choice" no type is named.
_NO_TYPE = r"(?!(?:one|choice|network|attention|architecture)s?\b)"
_NETWORK = re.compile(
    rf"{UNIFORM}{_NO_TYPE}(?P<everywhere>[a-z_][\w/.:-]*\b(?:{_SETTINGS})?)|{_CHOICE}(?: \| {_CHOICE})+"
)


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
    """The short form of a network; ``se8 everywhere`` if all stages are the same."""
    forms = [short(choice) for choice in choices]
    return f"{forms[0]} everywhere" if len(set(forms)) == 1 < len(forms) and forms[0] != NOTHING else " | ".join(forms)


def short_name(label: str, choices: Sequence[str]) -> str:
    """The name of a network where there is little room: a control's label, else the short form of its stages."""
    return label if label and not label.startswith(UNIFORM) else short_form(choices)


def legend(choices: Iterable[str]) -> list[str]:
    """The meanings of short forms that are not obvious: ``se8: se(reduction=8)``."""
    long = {short(choice): choice for choice in choices}
    return [f"{form}: {choice}" for form, choice in sorted(long.items()) if form != choice]


def explained(choices: Iterable[str]) -> list[str]:
    """The legend with the sign for none; empty if every short form is obvious."""
    lines = legend(choice for choice in choices if choice != "none")
    return [*lines, f"{NOTHING}: none"] if lines else []


def in_short(text: str) -> str:
    """Shorten the networks in a text: ``se8 everywhere`` for ``uniform se(reduction=8)``."""
    return _NETWORK.sub(_shortened, text)


def choices_in(text: str) -> list[str]:
    """The choices of the networks in a text, in words, for :func:`legend`."""
    return [choice for match in _NETWORK.finditer(text) for choice in _stages(match)]


def _shortened(match: re.Match[str]) -> str:
    return f"{short(match['everywhere'])} everywhere" if match["everywhere"] else short_form(_stages(match))


def _stages(match: re.Match[str]) -> list[str]:
    return [match["everywhere"]] if match["everywhere"] else match[0].split(" | ")

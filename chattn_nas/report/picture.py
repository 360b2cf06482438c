"""A picture of a network as inline SVG: its stages in a row, each with its blocks and its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import optuna

from chattn_nas.results import Pick
from chattn_nas.study.attributes import study_attributes
from chattn_nas.tasks.settings import CLASSIFICATION

WIDTH, HEIGHT, GAP, LEFT = 168, 188, 34, 92


def picture_of(study: optuna.Study, pick: Pick, colours: Mapping[str, str]) -> str:
    """Draw an architecture of a study."""
    stored = study_attributes(study)
    backbone = str(stored.section("backbone").get("model", "backbone"))
    task = str(stored.section("task").get("type", CLASSIFICATION)).rpartition(":")[2]
    head = "classifier" if task in (CLASSIFICATION, "multilabel") else task.replace("_", " ")
    return picture(pick.choices, stored.stages, backbone=backbone, head=head, colours=colours)


def picture(
    choices: Sequence[str], stages: Sequence[Mapping[str, Any]], *, backbone: str, head: str, colours: Mapping[str, str]
) -> str:
    """Draw a network as SVG.

    Args:
        choices: The attention of every stage, in words.
        stages: What the study knows of every stage: ``name``, ``blocks``, perhaps ``places``.
        backbone: Name of the model.
        head: Name of the head behind it.
        colours: CSS colour of every attention type.
    """
    count = len(choices)
    total = 2 * LEFT + count * WIDTH + (count + 1) * GAP
    parts = [
        f'<svg class="network" viewBox="0 0 {total} {HEIGHT}" width="{total}" role="img" '
        f'aria-label="{escape(backbone)}: {escape(" | ".join(choices))}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0.8 7 4 0 7.2z" class="tip"/></marker></defs>',
        _end(0, "stem", backbone),
    ]
    for index, choice in enumerate(choices):
        stage = stages[index] if index < len(stages) else {}
        x = LEFT + GAP + index * (WIDTH + GAP)
        parts += [_arrow(x - GAP, x), _stage(x, index + 1, choice, stage, colours)]
    last = LEFT + GAP + count * (WIDTH + GAP)
    parts += [_arrow(last - GAP, last), _end(last, "head", head), "</svg>"]
    return "".join(parts)


def _arrow(start: float, end: float) -> str:
    return f'<path class="flow" d="M{start + 3} 96H{end - 3}" marker-end="url(#arrow)"/>'


def _end(x: float, title: str, under: str) -> str:
    shown = under if len(under) <= 13 else under[:12] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        f'<g transform="translate({x} 66)"><rect class="end" width="{LEFT}" height="60" rx="10"/>'
        f'<text class="label" x="{LEFT / 2}" y="27">{title}</text>'
        f'<text class="small" x="{LEFT / 2}" y="45">{escape(shown)}</text></g>'
    )


def _stage(x: float, number: int, choice: str, stage: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    kind, _, settings = choice.partition("(")
    blocks = int(stage.get("blocks", 1))
    colour = colours.get(kind, "var(--c8)")
    drawn = min(blocks, 4)
    each = (WIDTH - 24 - 6 * (drawn - 1)) / drawn
    boxes = "".join(
        f'<rect class="block" x="{12 + index * (each + 6):.1f}" y="54" width="{each:.1f}" height="22" rx="5"/>'
        for index in range(drawn)
    )
    noun = f"{blocks} block{'' if blocks == 1 else 's'}"
    size = _size(stage)
    name = str(stage.get("name", ""))
    empty = kind == "none"
    style = f'fill="none" stroke="{colour}" stroke-dasharray="4 4"' if empty else f'fill="{colour}"'
    wrapped = _wrapped(settings.rstrip(")"))
    lines = "".join(
        f'<text class="small" x="{WIDTH / 2}" y="{148 + 15 * i}">{escape(line)}</text>'
        for i, line in enumerate(wrapped)
    )
    return (
        f'<g transform="translate({x} 8)"><rect class="stage" width="{WIDTH}" height="172" rx="12"/>'
        f'<text class="label" x="12" y="24" style="text-anchor:start">stage {number}</text>'
        f'<text class="small" x="{WIDTH - 12}" y="24" style="text-anchor:end">{escape(name)}</text>'
        f'<text class="small" x="12" y="43" style="text-anchor:start">{noun}{escape(size)}</text>{boxes}'
        f'<rect x="12" y="90" width="{WIDTH - 24}" height="38" rx="8" stroke-width="1.5" {style}/>'
        f'<text class="{"type empty" if empty else "type"}" x="{WIDTH / 2}" y="114">{escape(kind)}</text>{lines}</g>'
    )


def _size(stage: Mapping[str, Any]) -> str:
    """Channels and feature size of the first slot, if the study recorded its places."""
    places = stage.get("places") or {}
    slots = next(iter(places.values()), None) if isinstance(places, Mapping) else None
    if not slots:
        return ""
    height, width = slots[0]["feature_size"]
    return f" \N{MIDDLE DOT} {slots[0]['channels']} \N{MULTIPLICATION SIGN} {height} \N{MULTIPLICATION SIGN} {width}"


def _wrapped(text: str, width: int = 24, lines: int = 2) -> list[str]:
    """Wrap settings to at most two lines."""
    rows = [""]
    for part in text.split(", ") if text else []:
        joined = f"{rows[-1]}, {part}" if rows[-1] else part
        if len(joined) <= width:
            rows[-1] = joined
        else:
            rows.append(part)
    rows = [line for line in rows if line]
    if len(rows) > lines:
        rows = [*rows[: lines - 1], rows[lines - 1] + " \N{HORIZONTAL ELLIPSIS}"]
    return [line if len(line) <= width + 2 else line[:width] + "\N{HORIZONTAL ELLIPSIS}" for line in rows]

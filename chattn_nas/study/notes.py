"""The note of a trial in the Optuna dashboard: architecture, costs, rungs and outcome at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chattn_nas.study.texts import NOTE, as_markdown, printable


def note(attributes: Mapping[str, Any], stages: Sequence[str], output: str = "") -> str:
    """Markdown of a trial's user attributes.

    Args:
        attributes: As the runner records them.
        stages: Their names, such as ``layer1``.
        output: Last lines of a worker that died.
    """
    parts = [f"**{as_markdown(attributes.get('outcome', 'given back to the queue'))}**"]
    if attributes.get("reason"):
        parts[0] += f": {as_markdown(attributes['reason'])}"
    if attributes.get("label"):
        parts.append(f"Baseline: {as_markdown(attributes['label'])}")
    if "architecture" in attributes:
        rows = [("stage", "attention", "settings")]
        for name, choice in zip(stages, attributes["architecture"]["stages"], strict=False):
            settings = ", ".join(f"{key}={value}" for key, value in choice.items() if key != "type")
            rows.append((as_markdown(name), as_markdown(choice["type"]), as_markdown(settings)))
        parts.append(_table(rows))
    measurement = attributes.get("measurement") or {}
    relative = attributes.get("costs_relative") or {}
    if relative:
        rows = [("cost", "value", "of the backbone without attention")]
        rows += [
            (as_markdown(cost), f"{measurement.get(cost) or 0:,.6g}", f"{factor:.4f}x")
            for cost, factor in relative.items()
        ]
        parts.append(_table(rows))
    if measurement.get("rungs"):
        rows = [("epoch", "validation accuracy", "validation loss")]
        rows += [(str(r["epoch"]), f"{r['accuracy']:.4f}", f"{r['loss']:.4f}") for r in measurement["rungs"]]
        parts.append(_table(rows))
    if "seed" in attributes:
        source = as_markdown(attributes.get("value_source", ""))
        parts.append(f"Architecture {as_markdown(attributes.get('hash'))}, seed {attributes['seed']}; {source}")
    if output:
        parts.append("\n".join(f"    {line}" for line in printable(output, NOTE).splitlines()))  # no mark ends it
    return printable("\n\n".join(parts), NOTE)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

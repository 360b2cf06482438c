"""The note of a trial in the Optuna dashboard: architecture, costs, rungs and outcome at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from chattn_nas.proxy.measurement import outcome_words
from chattn_nas.study.attributes import TrialAttributes
from chattn_nas.study.texts import NOTE, as_markdown, printable


def note(stored: TrialAttributes, stages: Sequence[str], output: str = "") -> str:
    """Write the note of a trial, as Markdown.

    Args:
        stored: The trial's attributes; one without an outcome was returned to the queue.
        stages: Names of the stages, such as ``layer1``.
        output: Last lines of a worker that died.
    """
    parts = [f"**{as_markdown(outcome_words(stored.outcome or 'given back to the queue'))}**"]
    if stored.reason:
        parts[0] += f": {as_markdown(stored.reason)}"
    if stored.label:
        parts.append(f"Baseline: {as_markdown(stored.label)}")
    if stored.architecture is not None:
        rows = [("stage", "attention", "settings")]
        for name, choice in zip(stages, stored.stages, strict=False):
            settings = ", ".join(f"{key}={value}" for key, value in choice.items() if key != "type")
            rows.append((as_markdown(name), as_markdown(choice["type"]), as_markdown(settings)))
        parts.append(_table(rows))
    measured = stored.measurement
    if stored.costs_relative:
        rows = [("cost", "value", "of the backbone without attention")]
        rows += [
            (as_markdown(cost), f"{getattr(measured, cost, None) or 0:,.6g}", f"{factor:.4f}x")
            for cost, factor in stored.costs_relative.items()
        ]
        parts.append(_table(rows))
    if measured is not None and measured.rungs:
        rows = [("epoch", "validation accuracy", "validation loss")]
        rows += [(str(rung.epoch), f"{rung.score:.4f}", f"{rung.loss:.4f}") for rung in measured.rungs]
        parts.append(_table(rows))
    if stored.seed is not None:
        source = as_markdown(stored.value_source if stored.outcome else "")
        parts.append(f"Architecture {as_markdown(stored.hash)}, seed {stored.seed}; {source}")
    if output:
        parts.append("\n".join(f"    {line}" for line in printable(output, NOTE).splitlines()))  # no mark ends it
    return printable("\n\n".join(parts), NOTE)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

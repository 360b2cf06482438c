"""The note of a trial in the Optuna dashboard: architecture, costs, rungs and outcome at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna_dashboard._note import note_ver_key, split_body


def save_note(study: optuna.Study, trial_id: int, text: str) -> None:
    """As ``optuna_dashboard.save_note``, which reads the notes of all trials to write one: seconds at 5,000 trials."""
    study._storage.set_study_system_attr(study._study_id, note_ver_key(trial_id), 1)
    for key, part in split_body(text, trial_id).items():
        study._storage.set_study_system_attr(study._study_id, key, part)


def note(attributes: Mapping[str, Any], stages: Sequence[str], output: str = "") -> str:
    """Markdown of a trial's user attributes.

    Args:
        attributes: As the runner records them.
        stages: Their names, such as ``layer1``.
        output: Last lines of a worker that died.
    """
    parts = [f"**{attributes.get('outcome', 'given back to the queue')}**"]
    if attributes.get("reason"):
        parts[0] += f": {attributes['reason']}"
    if attributes.get("label"):
        parts.append(f"Baseline: {attributes['label']}")
    if "architecture" in attributes:
        rows = [("stage", "attention", "settings")]
        for name, choice in zip(stages, attributes["architecture"]["stages"], strict=False):
            settings = ", ".join(f"{key}={value}" for key, value in choice.items() if key != "type")
            rows.append((name, choice["type"], settings))
        parts.append(_table(rows))
    measurement = attributes.get("measurement") or {}
    relative = attributes.get("costs_relative") or {}
    if relative:
        rows = [("cost", "value", "of the backbone without attention")]
        rows += [(cost, f"{measurement.get(cost) or 0:,.6g}", f"{factor:.4f}x") for cost, factor in relative.items()]
        parts.append(_table(rows))
    if measurement.get("rungs"):
        rows = [("epoch", "validation accuracy", "validation loss")]
        rows += [(str(r["epoch"]), f"{r['accuracy']:.4f}", f"{r['loss']:.4f}") for r in measurement["rungs"]]
        parts.append(_table(rows))
    if "seed" in attributes:
        source = attributes.get("value_source", "")
        parts.append(f"Architecture {attributes.get('hash')}, seed {attributes['seed']}; {source}")
    if output:
        parts.append(f"```\n{output}\n```")
    return "\n\n".join(parts)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

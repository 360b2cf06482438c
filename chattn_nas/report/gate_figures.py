"""Heat maps of the gates, class by class."""

from __future__ import annotations

from typing import Any

from chattn_nas.report.facts import RunFacts
from chattn_nas.report.figures import Figure, layout


def gate_figures(facts: RunFacts) -> dict[str, Figure]:
    """Plot one heat map per stage, by the name of the plot."""
    classes = [str(name) for name in facts.gates.get("classes", ())]
    return {f"gates-{stage['stage']}": _figure(stage, classes) for stage in facts.gates.get("stages", ())}


def _figure(stage: dict[str, Any], classes: list[str]) -> Figure:
    values = stage["values"]
    names = [name if len(name) <= 14 else f"{name[:13]}…" for name in classes[: len(values)]]
    flat = [value for row in values for value in row]
    reach = max(0.02, *(abs(value - stage["overall"]) for value in flat))
    return {
        "data": [
            {
                "type": "heatmap",
                "x": [f"channel {number}" for number in stage["channels"]],
                "y": [f"{index}: {name}" if names.count(name) > 1 else name for index, name in enumerate(names)],
                "z": values,
                "zmin": stage["overall"] - reach,
                "zmax": stage["overall"] + reach,
                "colorscale": [[0, "@low"], [0.5, "@middle"], [1, "@high"]],
                "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
                "colorbar": {"thickness": 10, "outlinewidth": 0, "title": {"text": "gate", "side": "right"}},
            }
        ],
        "layout": layout(
            height=110 + 22 * len(values),
            xaxis={"showticklabels": False, "showgrid": False, "title": {"text": "channels"}},
            yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
            margin={"l": 20, "r": 8, "t": 8, "b": 36},
        ),
    }

"""The plots of the results, as Plotly figures in plain data.

Colours are tokens such as ``@ink`` or ``@c1``, which the page replaces, so that a figure suits light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from chattn_nas.report.thinning import POINTS, spread
from chattn_nas.results import Standing, words
from chattn_nas.results.pareto import front
from chattn_nas.study.record import CONTROL, CONTROLS, NONE, UNIFORM

Figure = dict[str, Any]
TITLES = {"parameters": "parameters", "macs": "MACs per image", "latency": "latency (s)"}


def colours(types: Sequence[str]) -> dict[str, str]:
    """A CSS colour for every attention type: greys for ``none`` and the control, then the Okabe-Ito palette by name."""
    by_type = {NONE: "var(--c-none)", **dict.fromkeys(CONTROLS, "var(--c-control)")}
    for index, name in enumerate(sorted(set(types) - set(by_type))):
        by_type[name] = f"var(--c{index % 8 + 1})"
    return by_type


def layout(**more: Any) -> dict[str, Any]:
    """The layout that all plots share, with this one's additions."""
    axis = {"gridcolor": "@grid", "zerolinecolor": "@grid", "linecolor": "@grid", "automargin": True, "ticks": ""}
    base: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "@ink", "family": "system-ui, sans-serif", "size": 13},
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
        "height": 400,
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@grid", "font": {"color": "@ink"}, "align": "left"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": axis,
        "yaxis": axis,
    }
    for key, value in more.items():
        base[key] = {**base[key], **value} if isinstance(base.get(key), dict) and isinstance(value, dict) else value
    return base


def pareto(
    table: pd.DataFrame,
    standing: Standing,
    cost: str = "parameters",
    *,
    refused: Sequence[float] = (),
    bound: float | None = None,
) -> Figure:
    """Plot pooled accuracy with 95 % intervals against a cost, with the front, the baselines and the control.

    ``refused`` are the costs of infeasible architectures, drawn along the bottom, since they have no accuracy;
    ``bound`` is drawn as a line.
    """
    leading, labels = table["hash"] == standing.best().hash, table["label"]
    kept = front(table, cost)
    groups = (
        ("architectures", (labels == "") & ~leading, "circle", "@c5", 8),
        ("uniform", labels.str.startswith(UNIFORM) & ~leading, "square", "@c1", 10),
        ("no attention", (labels == NONE) & ~leading, "diamond", "@ink", 11),
        ("random-gate control", labels == CONTROL, "x", "@c-control", 10),
        ("recommended", leading, "star", "@c6", 16),
    )
    data = [_front_line(kept, cost)]
    for name, chosen, symbol, colour, size in groups:
        rows = table[chosen].dropna(subset=[cost])
        if not rows.empty:
            rows = spread(rows, POINTS, rows["rank"].le(POINTS // 2) | rows["hash"].isin(kept["hash"]))
            data.append(_points(rows, cost, name, {"symbol": symbol, "color": colour, "size": size}))
    if refused:
        data.append(_ticks(refused, height=float((table["low"].fillna(table["pooled"])).min())))
    line = {"type": "line", "x0": bound, "x1": bound, "y0": 0, "y1": 1, "yref": "paper"}
    return {
        "data": data,
        "layout": layout(
            xaxis={"title": {"text": TITLES[cost]}},
            yaxis={"title": {"text": "pooled validation accuracy (%)"}},
            shapes=[line | {"line": {"color": "@c2", "dash": "dash", "width": 1.5}}] if bound is not None else [],
        ),
    }


def _front_line(kept: pd.DataFrame, cost: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": kept[cost].tolist(),
        "y": kept["pooled"].tolist(),
        "line": {"shape": "hv", "color": "@c3", "width": 2},
        "hoverinfo": "skip",
    }


def _points(rows: pd.DataFrame, cost: str, name: str, marker: dict[str, Any]) -> Figure:
    """Architectures of one group, with their intervals."""
    above, below = ((rows[end] - rows["pooled"]).abs().fillna(0).tolist() for end in ("high", "low"))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": rows[cost].tolist(),
        "y": rows["pooled"].tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "thickness": 1,
            "width": 0,
            "color": "@faint",
        },
        "marker": {**marker, "line": {"width": 1, "color": "@surface"}},
        "text": [
            f"{row['label'] or row['architecture']}<br>{words.plural(row['seeds'], 'seed')}"
            for row in rows.to_dict("records")
        ],
        "hovertemplate": "%{text}<br>%{y:.2f} % at %{x:,}<extra></extra>",
    }


def _ticks(costs: Sequence[float], height: float) -> Figure:
    """Costs of architectures that were refused for them."""
    shown = spread(pd.DataFrame({"cost": sorted(costs)}), POINTS)["cost"].tolist()
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "infeasible, not trained",
        "x": shown,
        "y": [height] * len(shown),
        "marker": {"symbol": "line-ns-open", "color": "@c-none", "size": 12, "line": {"width": 2}},
        "hovertemplate": "infeasible at %{x:,}<extra></extra>",
    }


def effects(table: pd.DataFrame) -> Figure:
    """Plot a heat map: stages across, types down, points against ``none``; bold if the interval excludes 0.

    The colour fades with uncertainty: it shows the effect times how much surer its sign is than a coin toss.
    """
    types = list(dict.fromkeys(table["type"]))
    numbers = sorted(table["stage"].unique())
    values: list[list[float | None]] = []
    texts: list[list[str]] = []
    hover: list[list[str]] = []
    cells: dict[Any, Any] = {(row.stage, row.type): row for row in table.itertuples()}
    for name in types:
        rows = [cells.get((number, name)) for number in numbers]
        values.append([None if row is None else faded(float(row.effect), float(row.sd)) for row in rows])
        texts.append(["" if row is None else _cell(row) for row in rows])
        hover.append(
            ["not tried" if row is None
             else f"{row.effect:+.2f} [{row.low:+.2f}, {row.high:+.2f}] points, {words.plural(row.trials, 'training')}"
             for row in rows]
        )  # fmt: skip
    reach = max(float(np.abs(table["effect"].to_numpy(float)).max()), 0.1)
    return {
        "data": [
            {
                "type": "heatmap",
                "x": [f"stage {number}" for number in numbers],
                "y": types,
                "z": values,
                "text": texts,
                "texttemplate": "%{text}",
                "customdata": hover,
                "hovertemplate": "%{y} in %{x}: %{customdata}<extra></extra>",
                "zmin": -reach,
                "zmax": reach,
                "colorscale": [[0, "@low"], [0.5, "@middle"], [1, "@high"]],
                "xgap": 3,
                "ygap": 3,
                "colorbar": {
                    "title": {"text": "points, faded by uncertainty", "side": "right"},
                    "thickness": 10,
                    "outlinewidth": 0,
                },
            }
        ],
        "layout": layout(
            height=110 + 46 * len(types),
            xaxis={"side": "top", "showgrid": False},
            yaxis={"autorange": "reversed", "showgrid": False},
            margin={"l": 20, "r": 8, "t": 40, "b": 12},
        ),
    }


def faded(effect: float, sd: float) -> float:
    """The effect times 2 P - 1, where P is the posterior probability of its sign."""
    return effect if sd == 0 else effect * math.erf(abs(effect) / sd / math.sqrt(2))


def _cell(row: Any) -> str:
    if row.type == NONE and row.against == NONE:
        return "0"
    said = f"{row.effect:+.2f}".replace("-", "\N{MINUS SIGN}")
    return f"<b>{said}</b>" if row.low > 0 or row.high < 0 else said


def importance(table: pd.DataFrame) -> Figure:
    """Plot bars: the importance of each stage's attention, by both evaluators."""
    rows = table[table["parameter"] == "attention"]
    names = [f"stage {number}" for number in rows["stage"]]
    return {
        "data": [
            {"type": "bar", "orientation": "h", "y": names, "x": rows[column].tolist(), "name": title,
             "marker": {"color": colour}, "text": [f"{value:.0%}" for value in rows[column]], "textposition": "auto",
             "hovertemplate": "%{y}: %{text}<extra></extra>"}
            for column, title, colour in (
                ("fanova", "of the variance", "@c1"), ("ped_anova", "of being among the best quarter", "@c3")
            )
        ],
        "layout": layout(
            height=120 + 60 * len(names),
            barmode="group",
            xaxis={"tickformat": ".0%", "rangemode": "tozero"},
            yaxis={"autorange": "reversed", "showgrid": False},
        ),
    }  # fmt: skip

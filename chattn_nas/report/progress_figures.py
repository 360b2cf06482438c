"""Plots of the course of a search: rungs, progress, order, outcomes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from chattn_nas.report.figures import Figure, layout
from chattn_nas.report.thinning import POINTS, changes, spread


def rungs(table: pd.DataFrame, best: str) -> Figure:
    """Plot accuracy at every rung, a line per training; stopped ones end in a cross, the recommended stands out."""
    data: list[Figure] = []
    ticks = sorted(int(epoch) for epoch in table["epoch"].unique())
    ends = table.groupby("number", as_index=False).tail(1)
    shown = [
        spread(ends[complete], POINTS // 2, ends[complete]["hash"] == best)["number"]
        for complete in (ends["outcome"] == "complete", ends["outcome"] != "complete")
    ]
    table = table[table["number"].isin(pd.concat(shown))]
    kinds = (
        ("complete", table[(table["outcome"] == "complete") & (table["hash"] != best)], "@faint", 1.2, 0.7),
        ("recommended", table[table["hash"] == best], "@c6", 3, 1.0),
    )
    for name, rows, colour, width, opacity in kinds:
        x: list[Any] = []
        y: list[Any] = []
        text: list[Any] = []
        for number, curve in rows.groupby("number"):
            x += [*curve["epoch"].tolist(), None]
            y += [*curve["score"].tolist(), None]
            text += [*[f"trial {number}: {curve['architecture'].iloc[0]}"] * len(curve), None]
        if x:
            data.append(
                {"type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": y, "text": text,
                 "opacity": opacity, "line": {"color": colour, "width": width},
                 "marker": {"size": 5 if width < 2 else 8, "color": colour},
                 "hovertemplate": "%{text}<br>%{y:.2f} % after %{x} epochs<extra></extra>"}
            )  # fmt: skip
    stopped = table[table["outcome"] != "complete"].groupby("number").tail(1)
    if len(stopped):
        data.append(
            {"type": "scatter", "mode": "markers", "name": "stopped early", "x": stopped["epoch"].tolist(),
             "y": stopped["score"].tolist(), "text": [f"trial {row.number}: {row.architecture}"
              for row in stopped.itertuples()],
             "marker": {"symbol": "x", "size": 8, "color": "@c2"},
             "hovertemplate": "%{text}<br>%{y:.2f} % after %{x} epochs<extra></extra>"}
        )  # fmt: skip
    return {
        "data": data,
        "layout": layout(
            xaxis={"title": {"text": "epochs trained"}, "tickvals": ticks},
            yaxis={"title": {"text": "validation accuracy (%)"}},
        ),
    }


def progress(table: pd.DataFrame) -> Figure:
    """Plot every complete training in order, the best one so far, and the hypervolume so far."""
    table = spread(table, POINTS, changes(table["best"]))
    numbers = table["number"].tolist()
    return {
        "data": [
            {"type": "scatter", "mode": "markers", "name": "training", "x": numbers, "y": table["score"].tolist(),
             "marker": {"size": 6, "color": "@c5"}, "hovertemplate": "trial %{x}: %{y:.2f} %<extra></extra>"},
            {"type": "scatter", "mode": "lines", "name": "best so far", "x": numbers, "y": table["best"].tolist(),
             "line": {"shape": "hv", "color": "@c6", "width": 2}, "hoverinfo": "skip"},
            {"type": "scatter", "mode": "lines", "name": "hypervolume", "x": numbers,
             "y": table["hypervolume"].tolist(), "yaxis": "y2",
             "line": {"shape": "hv", "color": "@c3", "width": 2, "dash": "dot"},
             "hovertemplate": "hypervolume %{y:.3f}<extra></extra>"},
        ],
        "layout": layout(
            height=340,
            xaxis={"title": {"text": "trial"}},
            yaxis={"title": {"text": "validation accuracy (%)"}},
            yaxis2={"overlaying": "y", "side": "right", "range": [0, 1.02], "showgrid": False, "tickformat": ".1f",
                    "title": {"text": "hypervolume"}, "automargin": True},
        ),
    }  # fmt: skip


def efficiency(table: pd.DataFrame) -> Figure:
    """Plot the best network so far in the order of the search, and as expected in random order."""
    table = spread(table, POINTS, changes(table["best"]))
    lines = (("this search", "best", "@c6", "solid"), ("the same networks in random order", "random", "@c5", "dot"))
    return {
        "data": [
            {"type": "scatter", "mode": "lines", "name": name, "x": table["networks"].tolist(),
             "y": table[column].tolist(), "line": {"color": colour, "width": 2, "dash": dash},
             "hovertemplate": "%{y:.2f} % after %{x} networks<extra></extra>"}
            for name, column, colour, dash in lines
        ],
        "layout": layout(
            height=320,
            xaxis={"title": {"text": "networks trained to the end"}},
            yaxis={"title": {"text": "pooled accuracy of the best (%)"}},
        ),
    }  # fmt: skip


def outcomes(table: pd.DataFrame) -> Figure:
    """Plot bars: trials and share of the time per outcome."""
    tones: dict[str, str] = {
        "complete": "@c3",
        "stopped early": "@c2",
        "infeasible": "@c-none",
        "running": "@c5",
        "waiting": "@c-none",
    }
    names = table["outcome"].tolist()
    tone = [tones.get(name, "@c6") for name in names]
    return {
        "data": [
            {"type": "bar", "orientation": "h", "y": names, "x": table["trials"].tolist(), "marker": {"color": tone},
             "text": [str(value) for value in table["trials"]], "textposition": "auto", "name": "trials",
             "hovertemplate": "%{y}: %{x} trials<extra></extra>", "xaxis": "x"},
            {"type": "bar", "orientation": "h", "y": names, "x": table["seconds"].tolist(), "marker": {"color": tone},
             "text": table["time"].tolist(), "textposition": "auto", "name": "time",
             "hovertemplate": "%{y}: %{text}<extra></extra>", "xaxis": "x2"},
        ],
        "layout": layout(
            height=110 + 38 * len(names),
            showlegend=False,
            bargap=0.35,
            xaxis={"domain": [0, 0.47], "title": {"text": "trials"}},
            xaxis2={"domain": [0.53, 1], "title": {"text": "seconds"}, "gridcolor": "@grid"},
            yaxis={"autorange": "reversed", "showgrid": False},
        ),
    }  # fmt: skip

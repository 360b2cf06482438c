"""The comparison of samplers as a table and a figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from chattn_nas.arguments import checked
from chattn_nas.report.palette import LIGHT
from chattn_nas.results.tables import CRITERIA


@checked
def write_comparison(table: pd.DataFrame, folder: Path) -> None:
    """Write ``comparison.csv`` and ``comparison.html``, a page that needs no network.

    Args:
        table: The result of ``compare_samplers``.
        folder: Folder to write to; created if needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "comparison.csv", index=False)
    parts = [
        figure(rows, str(name)).to_html(full_html=False, include_plotlyjs=place == 0)
        for place, (name, rows) in enumerate(table.groupby("table", sort=False))
    ]
    page = "\n".join(["<!doctype html>", '<meta charset="utf-8">', "<title>Samplers compared</title>", *parts])
    (folder / "comparison.html").write_text(page, encoding="utf-8")


def figure(table: pd.DataFrame, name: str) -> go.Figure:
    """Regret and gain with their 95 % intervals, one line of marks per way to pick the winner; best gain on top."""
    repeats = int(table["repeats"].iloc[0])
    panels = [("regret", "high", "points below the best mean of the table")]
    if table["gain"].notna().all():
        panels.append(("gain", "gain_high", "points above the average network, on a seed not seen"))
    pooled = table[table["by"] == "pooled"]
    order = pooled.sort_values("gain" if len(panels) > 1 else "regret", ascending=len(panels) > 1)["method"].tolist()
    plot = make_subplots(cols=len(panels), shared_yaxes=True, horizontal_spacing=0.04)
    for index, by in enumerate(CRITERIA):
        rows = table[table["by"] == by].set_index("method").loc[order]
        for column, (value, high, title) in enumerate(panels, start=1):
            plot.add_scatter(
                x=rows[value],
                y=[position + 0.18 * (1 - index) for position in range(len(order))],
                error_x={"type": "data", "array": rows[high] - rows[value], "thickness": 1.5, "width": 3},
                mode="markers",
                marker={"size": 9, "color": LIGHT[f"c{(1, 2, 6)[index]}"]},
                name={"pooled": "picked by the pooled model", "mean": "by the mean over seeds",
                      "single": "by the best single training"}[by],
                showlegend=column == 1, col=column, row=1,
            )  # fmt: skip
            plot.update_xaxes(title={"text": title, "font": {"size": 12}}, rangemode="tozero", col=column)
    plot.update_yaxes(tickvals=list(range(len(order))), ticktext=order)
    plot.update_layout(
        template="simple_white", width=520 + 420 * (len(panels) - 1), height=140 + 46 * len(order), font={"size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        title=f"{name}: {int(table['budget'].iloc[0])} trainings, means of {repeats} searches, 95 % intervals",
        margin={"l": 10, "r": 20, "t": 90, "b": 10},
    )  # fmt: skip
    return plot

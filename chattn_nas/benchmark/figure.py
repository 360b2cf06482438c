"""The comparison of samplers as a table and a figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from chattn_nas.results.report.palette import LIGHT
from chattn_nas.results.tables import CRITERIA


def write_comparison(found: pd.DataFrame, folder: Path) -> None:
    """Write ``comparison.csv`` and ``comparison.html``, a page that needs no network.

    Args:
        found: What ``compare_samplers`` gave.
        folder: Made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "comparison.csv", index=False)
    figure(found).write_html(folder / "comparison.html", include_plotlyjs=True)


def figure(found: pd.DataFrame) -> go.Figure:
    """Regret with its 95 % interval, one line of marks per way to pick the winner; best method on top."""
    order = found[found["by"] == "pooled"].sort_values("regret", ascending=False)["method"].tolist()
    plot = go.Figure()
    for index, by in enumerate(CRITERIA):
        rows = found[found["by"] == by].set_index("method").loc[order]
        plot.add_scatter(
            x=rows["regret"],
            y=[position + 0.18 * (1 - index) for position in range(len(order))],
            error_x={"type": "data", "array": rows["high"] - rows["regret"], "thickness": 1.5, "width": 3},
            mode="markers",
            marker={"size": 9, "color": LIGHT[f"c{(1, 2, 6)[index]}"]},
            name={"pooled": "picked by the pooled model", "mean": "by the mean over seeds",
                  "single": "by the best single training"}[by],
        )  # fmt: skip
    budget, repeats = int(found["budget"].iloc[0]), int(found["repeats"].iloc[0])
    plot.update_layout(
        template="simple_white", width=860, height=120 + 46 * len(order), font={"size": 14},
        xaxis={"title": f"points of test accuracy below the best network (mean of {repeats} searches, 95 %)",
               "rangemode": "tozero"},
        yaxis={"tickvals": list(range(len(order))), "ticktext": order},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        title=f"{budget} trainings per search", margin={"l": 10, "r": 20, "t": 90, "b": 10},
    )  # fmt: skip
    return plot

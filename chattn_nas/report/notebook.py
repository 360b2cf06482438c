"""A run and its best network for a notebook: a few tables and a picture, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import optuna

from chattn_nas.arguments import checked
from chattn_nas.report.figures import colours
from chattn_nas.report.page import file_text, strong
from chattn_nas.report.palette import LIGHT
from chattn_nas.report.picture import picture_of
from chattn_nas.report.verdict import verdict
from chattn_nas.results import Pick, Standing, words
from chattn_nas.results.tables import leaderboard
from chattn_nas.results.words import name_of
from chattn_nas.study.metric import named, unit_of
from chattn_nas.study.record import records

STYLE = """
.chattn-nas { color: var(--ink); background: var(--surface); padding: 14px 18px; border-radius: 10px;
  font: 14px/1.5 system-ui, sans-serif; max-width: 960px; }
.chattn-nas h3 { margin: 0 0 6px; font-size: 17px; }
.chattn-nas p { margin: 0 0 10px; max-width: 80ch; }
.chattn-nas table { border-collapse: collapse; margin: 8px 0; color: var(--ink); }
.chattn-nas th, .chattn-nas td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid);
  background: none; }
.chattn-nas th { color: var(--soft); font-weight: 550; }
"""


@checked
def run_html(study: optuna.Study, top: int = 8) -> str:
    """Show a study: its verdict and the first ``top`` rows of its leaderboard."""
    standing, board = Standing(study), leaderboard(study)
    said = verdict(study, records(study), standing, board)
    rows = [
        (
            str(row["rank"]),
            row["label"] or row["architecture"],
            _spread(row["pooled"], row["pooled_sd"]),
            _spread(row["mean"], row["se"]),
            str(row["seeds"]),
            words.multiple(row["parameters_x"]),
            words.multiple(row["macs_x"]),
        )
        for row in board.head(top).to_dict("records")
    ]
    heads = ("#", "architecture", "pooled % (sd)", "mean % (se)", "seeds", "parameters", "MACs")
    text = " ".join(strong(sentence) for sentence in said.sentences)
    return named(
        _framed(
            f"<h3>{escape(said.headline)} ({said.status})</h3><p>{text}</p>" + (_table(heads, rows) if rows else "")
        ),
        unit_of(study),
    )


def network_html(study: optuna.Study, pick: Pick) -> str:
    """Show an architecture of a study: its picture, score and costs."""
    painted = colours([stage["type"] for stage in pick.stages])
    rows = [
        ("pooled accuracy % (sd)", _spread(pick.value("pooled"), pick.sd)),
        ("mean accuracy % (se)", f"{_spread(pick.mean, pick.se)} over {words.plural(len(pick.seeds), 'seed')}"),
    ]
    rows += [
        (key, f"{value:,.6g} ({words.multiple(pick.relative.get(key))} of the backbone without attention)")
        for key, value in pick.costs.items()
        if value is not None
    ]
    return _framed(f"<h3>{escape(name_of(pick))}</h3>{picture_of(study, pick, painted)}" + _table(("", ""), rows))


def _framed(body: str) -> str:
    """Add the style sheet, in the light theme, since the notebook's own theme is unknown here."""
    tokens = "".join(f"--{name}:{value};" for name, value in LIGHT.items())
    return f'<div class="chattn-nas" style="{tokens}"><style>{STYLE}{file_text("picture.css")}</style>{body}</div>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + (line(heads, "th") if any(heads) else "") + "".join(line(row, "td") for row in rows) + "</table>"


def _spread(mean: float, sd: float | None) -> str:
    return words.accuracy(mean) if words.missing(sd) else f"{words.accuracy(mean)} ({words.accuracy(sd)})"

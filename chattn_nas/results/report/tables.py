"""The tables of the report: cells with what is shown and, for sorting, what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from chattn_nas.results.comparison import Comparison
from chattn_nas.results.pareto import front
from chattn_nas.results.record import CONTROL
from chattn_nas.results.report import words
from chattn_nas.results.report.facts import Facts


@dataclass(frozen=True)
class Cell:
    """What is shown and what sorting compares (a number or text); ``tone`` is a CSS class."""

    shown: Any
    sorting: Any = ""
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A heading; ``hint`` says what it means; ``wide`` columns are left out on a phone; ``number`` aligns right."""

    title: str
    hint: str = ""
    wide: bool = False
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows; a row's class marks the recommended one."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def tables(facts: Facts, colours: Mapping[str, str]) -> dict[str, Table]:
    """Every table of the page by name."""
    return {
        "baselines": _baselines(facts),
        "confirmation": _confirmation(facts),
        "leaderboard": _leaderboard(facts, colours),
        "front": _front(facts),
        "shares": _shares(facts, colours),
        "effects": _effects(facts),
        "rungs": _rungs(facts),
        "outcomes": _outcomes(facts),
    }


def chip(name: str, text: str, colours: Mapping[str, str]) -> Markup:
    """An attention as a coloured chip."""
    kind = " empty" if name == "none" else ""
    return Markup('<span class="chip{}" style="--chip:{}">{}</span>').format(
        Markup(kind), Markup(colours.get(name, "var(--c8)")), text
    )


def _number(value: float | None, shown: str, tone: str = "") -> Cell:
    return Cell(shown, "" if words.missing(value) else value, tone)


def _bar(low: float, mean: float, high: float, reach: tuple[float, float], zero: float | None = None) -> Markup:
    """An interval as a small picture on a common scale."""
    width, span = 140.0, max(reach[1] - reach[0], 1e-9)

    def x(value: float) -> float:
        return 4 + (width - 8) * (value - reach[0]) / span

    mark = f'<line class="zero" x1="{x(zero):.1f}" x2="{x(zero):.1f}" y1="0" y2="16"/>' if zero is not None else ""
    return Markup(
        f'<svg class="bar" viewBox="0 0 {width:.0f} 16" width="{width:.0f}" height="16" aria-hidden="true">{mark}'
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="8" y2="8"/><circle cx="{x(mean):.1f}" cy="8" r="4"/></svg>'
    )


def _baselines(facts: Facts) -> Table:
    margins = [row["margin"] for row in facts.baselines if row["margin"] is not None]
    reach = (
        min([0.0, *(margin.low for margin in margins)]),
        max([0.0, *(margin.high for margin in margins)]),
    )
    columns = [
        Column("architecture"),
        Column("seeds", "trainings to the end, one per seed", number=True),
        Column("pooled %", "mean and standard deviation from the model over all trials", number=True),
        Column("mean %", "mean over its own seeds and standard error", wide=True, number=True),
        Column("best's margin", "points by which the recommended one is ahead, with 95 % interval", number=True),
        Column("", wide=True),
        Column("status", wide=True),
    ]
    rows = []
    for row in facts.baselines:
        pick, margin = row["pick"], row["margin"]
        plain = pick.mean - facts.baselines[0]["pick"].mean
        said: Any = Markup("{}<small>{}</small>").format(
            words.signed(margin.mean), words.interval(margin.low, margin.high)
        ) if margin else (words.NOT_THERE if row["role"] == "best" else words.signed(-plain))  # fmt: skip
        rows.append(
            (
                row["role"],
                [
                    Cell(
                        Markup("<b>{}</b>").format(row["name"]) if row["role"] == "best" else row["name"], row["name"]
                    ),
                    _number(row["seeds"], str(row["seeds"])),
                    _pooled(pick.value("pooled"), pick.sd),
                    _mean(pick.mean, pick.se),
                    _number(margin.mean if margin else None, said),
                    Cell(_bar(margin.low, margin.mean, margin.high, reach, 0.0) if margin else ""),
                    Cell(facts.verdict.status),
                ],
            )
        )
    return Table(columns, rows)


def _pooled(mean: float, sd: float | None) -> Cell:
    spread = "" if words.missing(sd) else f"\N{PLUS-MINUS SIGN} {words.accuracy(sd)}"
    return _number(mean, Markup("{}<small>{}</small>").format(words.accuracy(mean), spread))


def _mean(mean: float, se: float | None) -> Cell:
    spread = "one seed" if words.missing(se) else f"se {words.accuracy(se)}"
    return _number(mean, Markup("{}<small>{}</small>").format(words.accuracy(mean), spread))


def _confirmation(facts: Facts) -> Table:
    columns = [
        Column("network"),
        Column("search %", "mean over the search's seeds, after fewer epochs", wide=True, number=True),
        Column("confirmed %", "mean and standard deviation over new seeds", number=True),
        Column("seeds", wide=True, number=True),
        Column("over the best uniform", number=True),
        Column("over none", number=True),
        Column("verdict", "against the best uniform, for a baseline against none", wide=True),
    ]
    rows = []
    for row in (facts.confirmation or {}).get("networks", ()):
        differences = [
            _number(None, words.NOT_THERE) if found is None
            else _number(found["mean"], Markup("{}<small>{}</small>").format(
                words.signed(found["mean"]), words.interval(found["t_low"], found["t_high"])))
            for found in (row["uniform"], row["none"])
        ]  # fmt: skip
        judged = row["uniform"] or row["none"]
        said = "control" if "control" in row["roles"] else Comparison.from_dict(judged).words if judged else ""
        tone = "best" if row["hash"] == (facts.confirmation or {})["winner"] else ""
        if said == "control":
            tone = "control"
        rows.append(
            (
                tone,
                [
                    Cell(row["name"], row["name"]),
                    _number(row["search"], words.accuracy(row["search"])),
                    _number(row["mean"], Markup("{}<small>sd {}</small>").format(
                        words.accuracy(row["mean"]), words.accuracy(row["sd"]))),
                    _number(row["seeds"], str(row["seeds"])),
                    *differences,
                    Cell(said, said),
                ],
            )
        )  # fmt: skip
    return Table(columns, rows)


def _leaderboard(facts: Facts, colours: Mapping[str, str], top: int = 50) -> Table:
    board = facts.board.head(top)
    choices = {record.hash: record for record in facts.records}
    reach = (float(board["low"].min()), float(board["high"].max())) if len(board) else (0.0, 1.0)
    columns = [
        Column("#", number=True),
        Column("architecture", "attention per stage, first stage first"),
        Column("pooled %", "mean and standard deviation from the model over all trials", number=True),
        Column("95 % interval", wide=True),
        Column("mean %", "mean over its own seeds and standard error", number=True, wide=True),
        Column("seeds", number=True),
        Column("best trial %", "highest single training: rewards luck", wide=True, number=True),
        Column("params", "multiple of the backbone without attention", number=True),
        Column("MACs", "multiple of the backbone without attention", wide=True, number=True),
    ]
    best = next((pick.hash for pick in facts.standing.picks if not pick.control), "")
    rows = []
    for row in board.to_dict("records"):
        record = choices[row["hash"]]
        chips = Markup("").join(
            chip(stage["type"], text, colours) for stage, text in zip(record.stages, record.choices, strict=True)
        )
        label = Markup('<small class="label">{}</small>').format(row["label"]) if row["label"] else ""
        interval = "" if words.missing(row["low"]) else _bar(row["low"], row["pooled"], row["high"], reach)
        tone = "best" if row["hash"] == best else "control" if row["label"] == CONTROL else ""
        rows.append(
            (
                tone,
                [
                    _number(row["rank"], str(row["rank"])),
                    Cell(Markup('<span class="chips">{}</span>{}').format(chips, label), record.description),
                    _pooled(row["pooled"], row["pooled_sd"]),
                    Cell(interval, row["low"] if interval else ""),
                    _mean(row["mean"], row["se"]),
                    _number(row["seeds"], str(row["seeds"])),
                    _number(row["single"], words.accuracy(row["single"])),
                    _number(row["parameters_x"], words.multiple(row["parameters_x"])),
                    _number(row["macs_x"], words.multiple(row["macs_x"])),
                ],
            )
        )
    return Table(columns, rows)


def _front(facts: Facts) -> Table:
    columns = [
        Column("architecture"),
        Column("pooled %", number=True),
        Column("parameters", number=True),
        Column("MACs", number=True, wide=True),
        Column("seeds", number=True),
    ]
    kept = front(facts.board) if len(facts.board) else pd.DataFrame()
    rows = [
        (
            "",
            [
                Cell(row["architecture"], row["architecture"]),
                _pooled(row["pooled"], row["pooled_sd"]),
                _number(row["parameters"], words.count(row["parameters"])),
                _number(row["macs"], words.count(row["macs"])),
                _number(row["seeds"], str(row["seeds"])),
            ],
        )
        for row in kept.to_dict("records")
    ]
    return Table(columns, rows)


def _shares(facts: Facts, colours: Mapping[str, str]) -> Table:
    shares = facts.shares()
    stages = [key for key in shares[0] if key != "type"] if shares else []
    most = {stage: max(row[stage] for row in shares) for stage in stages}
    columns = [Column("attention"), *(Column(f"stage {stage.removeprefix('stage')}", number=True) for stage in stages)]
    rows = [
        (
            "",
            [
                Cell(chip(row["type"], row["type"], colours), row["type"]),
                *(
                    _number(row[stage], str(row[stage] or words.NOT_THERE), "most" if row[stage] == most[stage] else "")
                    for stage in stages
                ),
            ],
        )
        for row in shares
    ]
    return Table(columns, rows)


def _effects(facts: Facts) -> Table:
    columns = [
        Column("stage", number=True),
        Column("attention"),
        Column("effect", "points", number=True),
        Column("95 % interval", number=True),
        Column("trainings", number=True, wide=True),
        Column("against", wide=True),
    ]
    rows = [
        (
            "",
            [
                _number(row["stage"], str(row["stage"])),
                Cell(row["type"], row["type"]),
                _number(row["effect"], words.signed(row["effect"])),
                _number(row["low"], words.interval(row["low"], row["high"])),
                _number(row["trials"], str(row["trials"])),
                Cell(row["against"], row["against"]),
            ],
        )
        for row in facts.effects.to_dict("records")
    ]
    return Table(columns, rows)


def _rungs(facts: Facts) -> Table:
    columns = [
        Column("epochs", number=True),
        Column("reached by", "trainings", number=True),
        Column("mean %", number=True),
        Column("sd", "over trainings, points", number=True),
        Column("best %", number=True),
    ]
    rows = []
    for epoch, group in facts.rungs.groupby("epoch") if len(facts.rungs) else ():
        values = group["accuracy"]
        rows.append(
            (
                "",
                [
                    _number(float(str(epoch)), str(epoch)),
                    _number(len(values), str(len(values))),
                    _number(values.mean(), words.accuracy(values.mean())),
                    _number(values.std(), words.accuracy(values.std())),
                    _number(values.max(), words.accuracy(values.max())),
                ],
            )
        )
    return Table(columns, rows)


def _outcomes(facts: Facts) -> Table:
    columns = [Column("outcome"), Column("trials", number=True), Column("time", number=True), Column("why", wide=True)]
    rows = [
        (
            "",
            [
                Cell(row["outcome"], row["outcome"]),
                _number(row["trials"], str(row["trials"])),
                _number(row["seconds"], row["time"]),
                Cell(escape(row["reasons"]), row["reasons"]),
            ],
        )
        for row in facts.outcomes.to_dict("records")
    ]
    return Table(columns, rows)

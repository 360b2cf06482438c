"""Tables of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from chattn_nas.judging import Network
from chattn_nas.report import progress_tables
from chattn_nas.report.cells import Cell, Column, ReportTable, bar, chip, number, over_seeds, pooled
from chattn_nas.report.classes import class_table
from chattn_nas.report.facts import RunFacts
from chattn_nas.report.start_table import start_table
from chattn_nas.results import words
from chattn_nas.results.pareto import front
from chattn_nas.study.record import CONTROLS, RIVAL
from chattn_nas.study.short import in_short


def tables(facts: RunFacts, colours: Mapping[str, str]) -> dict[str, ReportTable]:
    """Every table of the page, by name."""
    return {
        "network": _network(facts, colours),
        "baselines": _baselines(facts),
        "confirmation": _confirmation(facts),
        "leaderboard": _leaderboard(facts, colours),
        "front": _front(facts),
        "shares": _shares(facts, colours),
        "effects": _effects(facts),
        "importance": _importance(facts),
        "rungs": progress_tables.rungs(facts),
        "progress": progress_tables.progress(facts),
        "efficiency": progress_tables.efficiency(facts),
        "starts": start_table(facts),
        "classes": class_table(facts.classes),
        "outcomes": progress_tables.outcomes(facts),
    }


def _network(facts: RunFacts, colours: Mapping[str, str]) -> ReportTable:
    """The leading network, stage by stage, for screens that are too narrow for its picture."""
    columns = [Column("stage"), Column("blocks", number=True), Column("attention")]
    rows = []
    choices = facts.lead.choices if facts.lead else ()
    for index, (choice, stage) in enumerate(zip(choices, facts.stored.stages, strict=False), 1):
        blocks = int(stage.get("blocks", 1))
        name = Markup("{}<small>{}</small>").format(index, stage.get("name", ""))
        attention = chip(choice.partition("(")[0], choice, colours)
        rows.append(("", [Cell(name), number(blocks, str(blocks)), Cell(attention)]))
    return ReportTable(columns, rows)


def _baselines(facts: RunFacts) -> ReportTable:
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
        pick, margin, name = row["pick"], row["margin"], in_short(row["name"])
        plain = pick.mean - facts.baselines[0]["pick"].mean
        said: Any = Markup("{}<small>{}</small>").format(
            words.signed(margin.mean), words.interval(margin.low, margin.high)
        ) if margin else (words.NOT_THERE if row["role"] == "best" else words.signed(-plain))  # fmt: skip
        rows.append(
            (
                row["role"],
                [
                    Cell(Markup("<b>{}</b>").format(name) if row["role"] == "best" else name, row["name"]),
                    number(row["seeds"], str(row["seeds"])),
                    pooled(pick.value("pooled"), pick.sd),
                    over_seeds(pick.mean, pick.se),
                    number(margin.mean if margin else None, said),
                    Cell(bar(margin.low, margin.mean, margin.high, reach, 0.0) if margin else ""),
                    Cell(row["status"]),
                ],
            )
        )
    return ReportTable(columns, rows)


def _searched(network: Network) -> Cell:
    """The score of a network in the search: the pooled mean, with the raw mean beside it."""
    pooled, raw = network.search_pooled, network.search
    if pooled is None:
        return number(raw, words.accuracy(raw))
    return number(pooled, Markup("{}<small>raw mean {}</small>").format(words.accuracy(pooled), words.accuracy(raw)))


def _confirmation(facts: RunFacts) -> ReportTable:
    columns = [
        Column("network"),
        Column(
            "search %",
            "the search's, after its own length of training: pooled mean, raw mean beside it",
            wide=True,
            number=True,
        ),
        Column("retrained %", "mean and standard deviation over new seeds", number=True),
        Column("seeds", wide=True, number=True),
        Column("over the best uniform", number=True),
        Column("over none", number=True),
        Column("over channel_scale", "a learned factor per channel, the same for every input", number=True),
        Column("verdict", "against the best uniform, for a baseline against none", wide=True),
    ]
    rows = []
    confirmation = facts.confirmation
    for network in confirmation.networks if confirmation is not None else ():
        differences = [
            number(None, words.NOT_THERE) if rival is None
            else number(rival.mean, Markup("{}<small>{}</small>").format(
                words.signed(rival.mean), words.interval(rival.t_low, rival.t_high)))
            for rival in (network.uniform, network.none, network.channel_scale)
        ]  # fmt: skip
        judged = network.uniform or network.none
        verdict = "control" if {"control", RIVAL} & set(network.roles) else judged.words if judged else ""
        tone = "best" if confirmation is not None and network.hash == confirmation.winner else ""
        if verdict == "control":
            tone = "control"
        rows.append(
            (
                tone,
                [
                    Cell(in_short(network.name), network.name),
                    _searched(network),
                    number(network.mean, Markup("{}<small>sd {}</small>").format(
                        words.accuracy(network.mean), words.accuracy(network.sd))),
                    number(len(network.scores), str(len(network.scores))),
                    *differences,
                    Cell(verdict, verdict),
                ],
            )
        )  # fmt: skip
    return ReportTable(columns, rows)


def _leaderboard(facts: RunFacts, colours: Mapping[str, str], top: int = 50) -> ReportTable:
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
        interval = "" if words.missing(row["low"]) else bar(row["low"], row["pooled"], row["high"], reach)
        tone = "best" if row["hash"] == best else "control" if row["label"] in CONTROLS else ""
        rows.append(
            (
                tone,
                [
                    number(row["rank"], str(row["rank"])),
                    Cell(Markup('<span class="chips">{}</span>{}').format(chips, label), record.description),
                    pooled(row["pooled"], row["pooled_sd"]),
                    Cell(interval, row["low"] if interval else ""),
                    over_seeds(row["mean"], row["se"]),
                    number(row["seeds"], str(row["seeds"])),
                    number(row["single"], words.accuracy(row["single"])),
                    number(row["parameters_x"], words.multiple(row["parameters_x"])),
                    number(row["macs_x"], words.multiple(row["macs_x"])),
                ],
            )
        )
    return ReportTable(columns, rows)


def _front(facts: RunFacts) -> ReportTable:
    columns = [
        Column("architecture"),
        Column("pooled %", number=True),
        Column("parameters", number=True),
        Column("MACs", number=True, wide=True),
        Column("seeds", number=True),
    ]
    kept = front(facts.board, facts.cost) if len(facts.board) else pd.DataFrame()
    rows = [
        (
            "",
            [
                Cell(row["architecture"], row["architecture"]),
                pooled(row["pooled"], row["pooled_sd"]),
                number(row["parameters"], words.count(row["parameters"])),
                number(row["macs"], words.count(row["macs"])),
                number(row["seeds"], str(row["seeds"])),
            ],
        )
        for row in kept.to_dict("records")
    ]
    return ReportTable(columns, rows)


def _shares(facts: RunFacts, colours: Mapping[str, str]) -> ReportTable:
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
                    number(row[stage], str(row[stage] or words.NOT_THERE), "most" if row[stage] == most[stage] else "")
                    for stage in stages
                ),
            ],
        )
        for row in shares
    ]
    return ReportTable(columns, rows)


def _effects(facts: RunFacts) -> ReportTable:
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
                number(row["stage"], str(row["stage"])),
                Cell(row["type"], row["type"]),
                number(row["effect"], words.signed(row["effect"])),
                number(row["low"], words.interval(row["low"], row["high"])),
                number(row["trials"], str(row["trials"])),
                Cell(row["against"], row["against"]),
            ],
        )
        for row in facts.effects.to_dict("records")
    ]
    return ReportTable(columns, rows)


def _importance(facts: RunFacts) -> ReportTable:
    columns = [
        Column("stage", number=True),
        Column("what"),
        Column("values", "how many were seen", number=True, wide=True),
        Column("trainings", "that had it", number=True, wide=True),
        Column("of the variance", "fANOVA, over the stages", number=True),
        Column("of the best quarter", "PED-ANOVA", number=True),
    ]
    rows = [
        (
            "",
            [
                number(row["stage"], str(row["stage"])),
                Cell(row["parameter"], row["parameter"]),
                number(row["values"], str(row["values"])),
                number(row["trainings"], str(row["trainings"])),
                number(row["fanova"], words.share(row["fanova"])),
                number(row["ped_anova"], words.share(row["ped_anova"])),
            ],
        )
        for row in facts.importance.to_dict("records")
    ]
    return ReportTable(columns, rows)

"""The report as Markdown, for a pull request: the same verdict, the same tables, no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from chattn_nas.arguments import checked
from chattn_nas.judging import Confirmation
from chattn_nas.judging.comparison import Comparison
from chattn_nas.report.classes import class_heads, class_rows
from chattn_nas.report.facts import RunFacts, gather
from chattn_nas.report.summary import next_steps, summary
from chattn_nas.results import words
from chattn_nas.results.pareto import front
from chattn_nas.results.tables import rows_of
from chattn_nas.study.metric import named, unit_of
from chattn_nas.study.record import CONTROLS


@checked
def markdown(study: optuna.Study, top: int = 10) -> str:
    """Write the report of a study as GitHub-flavoured Markdown, with ``top`` rows of the leaderboard."""
    return markdown_of(gather(study), top)


def markdown_of(facts: RunFacts, top: int = 10) -> str:
    """Like :func:`markdown`, for a study that was read already."""
    verdict = facts.verdict
    parts = [f"# {facts.name}: {verdict.headline} ({verdict.status})", " ".join(verdict.sentences), facts.searched]
    parts += ["```\n" + "\n".join(summary(facts)) + "\n```"]
    if facts.baselines:
        parts += ["## Against every baseline", _baselines(facts.baselines)]
        parts += ["## Leaderboard", _leaderboard(rows_of(facts.board.head(top)))]
        kept = rows_of(front(facts.board))
        rows: list[tuple[Any, ...]] = [
            (row["architecture"], _spread(row["pooled"], row["pooled_sd"]), words.count(row["parameters"]),
             words.count(row["macs"])) for row in kept
        ]  # fmt: skip
        parts += ["## Pareto front", table(("architecture", "pooled %", "parameters", "MACs"), rows)]
    if facts.confirmation:
        parts += ["## Confirmation", _confirmation(facts.confirmation)]
    if facts.final_trainings:
        parts += ["## Final training", "\n".join(f"- {said}" for said in facts.final_trainings)]
    if len(facts.effects):
        rows = [
            (row["stage"], row["type"], words.signed(row["effect"]), words.interval(row["low"], row["high"]),
             row["trials"], row["against"]) for row in rows_of(facts.effects)
        ]  # fmt: skip
        heads = ("stage", "attention", "effect (points)", "95 % interval", "trainings", "against")
        parts += ["## Effects per stage", table(heads, rows)]
    if facts.classes is not None:
        lines = [(name, *map(words.accuracy, values), *other) for name, values, other in class_rows(facts.classes)]
        of_class = ["class", *(head for head, _ in class_heads(facts.classes))]
        parts += ["## Class by class, the leading network", table(of_class, lines)]
    if len(facts.starts):
        columns = ("architecture", "ratio per stage", "scale per stage, start to end", "first loss over none's", "")
        parts += [f"## How they started ({facts.start} start)", table(columns, facts.starts)]
    if facts.shared_weights:
        parts += ["## Shared weights", facts.shared_weights]
    rows = [(row["outcome"], row["trials"], row["time"], row["reasons"]) for row in rows_of(facts.outcomes)]
    parts += ["## Outcomes, and where the time went", table(("outcome", "trials", "time", "why"), rows)]
    parts += ["## What next", "\n".join(f"- `{command}`: {why}" for command, why in next_steps(facts))]
    parts += ["## How to reproduce", table(("", ""), facts.reproduction())]
    parts = [named(part, unit_of(facts.study)) for part in parts]
    if facts.spec:
        parts.append(f"<details><summary>The spec</summary>\n\n```yaml\n{facts.spec_text()}```\n\n</details>")
    return "\n\n".join(parts) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a Markdown table; cells may hold any text."""
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(heads), *lines[1:]])


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _spread(mean: float, sd: float | None, sign: str = "\N{PLUS-MINUS SIGN}") -> str:
    return words.accuracy(mean) if words.missing(sd) else f"{words.accuracy(mean)} {sign} {words.accuracy(sd)}"


def _baselines(rows: list[dict[str, Any]]) -> str:
    shown = [
        (
            f"**{row['name']}**" if row["role"] == "best" else row["name"],
            row["seeds"],
            _spread(row["pick"].value("pooled"), row["pick"].sd),
            _spread(row["pick"].mean, row["pick"].se),
            words.margin(row["margin"]),
            row["status"],
        )
        for row in rows
    ]
    heads = ("architecture", "seeds", "pooled % (sd)", "mean % (se)", "best's margin (points)", "status")
    return table(heads, shown)


def _leaderboard(rows: list[dict[str, Any]]) -> str:
    shown = [
        (
            row["rank"],
            row["architecture"],
            row["label"] + (" (control)" if row["label"] in CONTROLS else ""),
            _spread(row["pooled"], row["pooled_sd"]),
            _spread(row["mean"], row["se"]),
            row["seeds"],
            words.multiple(row["parameters_x"]),
            words.multiple(row["macs_x"]),
        )
        for row in rows
    ]
    heads = ("#", "architecture", "baseline", "pooled % (sd)", "mean % (se)", "seeds", "params", "MACs")
    return table(heads, shown)


def _confirmation(confirmation: Confirmation) -> str:
    rows = [
        (
            one.name, words.searched(one.search_pooled, one.search), _spread(one.mean, one.sd), len(one.scores),
            *(_against(rival) for rival in (one.uniform, one.none, one.channel_scale)),
        ) for one in confirmation.networks
    ]  # fmt: skip
    heads = ("network", "search", "retrained % (sd)", "seeds", "against the best uniform", "against none",
             "against channel_scale")  # fmt: skip
    return table(heads, rows)


def _against(comparison: Comparison | None) -> str:
    if comparison is None:
        return words.NOT_THERE
    interval = words.interval(comparison.t_low, comparison.t_high)
    return f"{words.signed(comparison.mean)} [{interval}], {comparison.judgement} ({words.p_value(comparison.p)})"

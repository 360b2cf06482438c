"""The four figures at the top of the report: accuracy, margins, cost; confirmed ones if there are any."""

from __future__ import annotations

from typing import Any

from chattn_nas.report.facts import RunFacts
from chattn_nas.results import Pick, words
from chattn_nas.study.metric import unit_of
from chattn_nas.study.record import NONE

Tile = dict[str, Any]
RIVALS = ("over the best uniform", "over no attention")


def tiles(facts: RunFacts) -> list[Tile]:
    """Title, value, unit and a line below, for each tile; empty before the first complete training."""
    lead = facts.lead
    if lead is None:
        return []
    shown = _confirmed(facts) if facts.verdict.confirmed else _searched(facts, lead)
    under = f"{words.count(lead.costs['parameters'])}; MACs {words.multiple(lead.relative.get('macs'))}"
    if lead.label == NONE:
        under = f"{words.count(lead.costs['parameters'])} parameters"
    return [*shown, _tile("parameters", words.multiple(lead.relative.get("parameters")), "", under)]


def _tile(title: str, value: str, unit: str, under: str) -> Tile:
    return {"title": title, "value": value, "unit": unit, "under": under}


def _confirmed(facts: RunFacts) -> list[Tile]:
    assert facts.confirmation is not None, "the verdict rests on it"
    winner = facts.confirmation.network(facts.confirmation.winner)
    under = f"sd {words.accuracy(winner.sd)} over {words.plural(len(winner.scores), 'new seed')}"
    shown = [_tile("accuracy, retrained", words.accuracy(winner.mean), unit_of(facts.study).unit, under)]
    for title, lead in zip(RIVALS, (winner.uniform, winner.none), strict=True):
        shown.append(
            _tile(title, words.NOT_THERE, "", "it is this one") if lead is None
            else _tile(title, words.signed(lead.mean), "points",
                       f"simultaneous {lead.level}: {words.interval(lead.t_low, lead.t_high)}")
        )  # fmt: skip
    return shown


def _searched(facts: RunFacts, best: Pick) -> list[Tile]:
    standing = facts.standing
    spread = (
        f"\N{PLUS-MINUS SIGN} {words.accuracy(best.sd)} posterior sd" if best.sd is not None else "mean over its seeds"
    )
    shown = [_tile("accuracy", words.accuracy(best.value("pooled")), unit_of(facts.study).unit, spread)]
    for title, rival in zip(RIVALS, (standing.best_uniform(), standing.none()), strict=True):
        if rival is None or rival.hash == best.hash:
            under = "it is this one" if rival is not None else "not trained"
            shown.append(_tile(title, words.NOT_THERE, "", under))
            continue
        margin = standing.margin(best, rival)
        mean = margin.mean if margin else best.mean - rival.mean
        under = f"95 %: {words.interval(margin.low, margin.high)}" if margin else "too few trials for an interval"
        shown.append(_tile(title, words.signed(mean), "points", under))
    return shown

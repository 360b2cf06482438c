"""The best network so far in a few words, for the progress of a search and its last line."""

from __future__ import annotations

import optuna

from chattn_nas.arguments import checked
from chattn_nas.errors import RunError
from chattn_nas.results import words
from chattn_nas.results._best import Standing
from chattn_nas.study.metric import unit_of
from chattn_nas.study.record import CONTROLS


@checked
def so_far(study: optuna.Study) -> str:
    """The leading network with its interval and its lead over no attention, or how many share the lead."""
    standing, unit = Standing(study), unit_of(study)
    try:
        best = standing.best()
    except RunError:
        return ""
    value = best.value("pooled")
    score = unit.written(value) if unit.unit else f"{unit.written(value)} {unit.title}"
    level = [p for p in standing.picks if not p.control and abs(p.value("pooled") - value) < 1e-9]
    if len(level) > 1:
        one = words.short_name_of(level[0])
        return f"best so far: {len(level)} networks share {score}, {one} among them"
    reach = "" if best.interval is None else f" (95 %: {unit.reach(*best.interval)})"
    none = standing.none()
    ahead = ""
    if none is not None and none.hash != best.hash:
        margin = standing.margin(best, none)
        mean = best.mean - none.mean if margin is None else margin.mean
        ahead = f", {words.signed(mean, unit.digits)} {unit.difference} over none"
    tried = [pick for pick in standing.picks if pick.label not in CONTROLS]
    return f"best of {len(tried)} so far: {words.short_name_of(best)}, {score}{reach}{ahead}"

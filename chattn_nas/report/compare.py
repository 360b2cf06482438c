"""Compares several runs, with different backbones, budgets, recipes or data: as rows and as one page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import optuna
from markupsafe import Markup

from chattn_nas.errors import InputError, RunError
from chattn_nas.report.cells import Cell, Column, ReportTable, bar, number
from chattn_nas.report.facts import RunFacts, data_name, gather
from chattn_nas.report.page import file_text, rendered
from chattn_nas.results import Margin, words
from chattn_nas.space import NONE
from chattn_nas.space.settings import ALL
from chattn_nas.spec import Spec
from chattn_nas.study.metric import metric_of, unit_of
from chattn_nas.study.short import explained
from chattn_nas.unit import Unit


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """One run in one line; scores in percent, margins in points.

    Attributes:
        name: Name of the run.
        backbone, data: Names of the backbone and of the data set.
        epochs, trials: Length of a full trial, and number of trained trials.
        network, choices: The lead in its short form, and its attention per stage in words.
        status: ``confirmed`` or ``unconfirmed``.
        score, low, high: The lead's score and interval by the pooled model.
        none, uniform: Its margins over no attention and over the best uniform network; ``None`` if it is that network,
            or no interval is known.
        parameters: The lead's parameters, as a multiple of the backbone without attention.
        seconds: Seconds of all training in the search.
        metric, unit: Name and unit of the score.
        settings: Settings of the spec, by section and key.
    """

    name: str
    backbone: str
    data: str
    epochs: int
    trials: int
    network: str
    choices: tuple[str, ...]
    status: str
    score: float
    low: float
    high: float
    none: Margin | None
    uniform: Margin | None
    parameters: float | None
    seconds: float
    metric: str
    unit: str
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        margins = {
            name: None if one is None else {"mean": one.mean, "low": one.low, "high": one.high}
            for name, one in (("over_none", self.none), ("over_uniform", self.uniform))
        }
        plain = {key: value for key, value in vars(self).items() if key not in ("none", "uniform", "settings")}
        return {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in (plain | margins).items()}


def compare_runs(studies: Sequence[optuna.Study], places: Sequence[str] = ()) -> list[RunLine]:
    """Return one line per study, in their order; studies of the same name are named by their place in ``places``."""
    lines = [_line(gather(study)) for study in studies]
    named_alike = len({line.name for line in lines}) < len(lines)
    return (
        [replace(line, name=place) for line, place in zip(lines, places, strict=True)]
        if named_alike and places
        else lines
    )


def differing(lines: Sequence[RunLine]) -> dict[str, list[str]]:
    """The keys of the specs in which the runs differ, such as ``proxy.rungs``, with the value of every run."""
    keys = dict.fromkeys(key for line in lines for key in line.settings)
    values = {key: [_written(line.settings.get(key, words.NOT_THERE)) for line in lines] for key in keys}
    return {key: by_run for key, by_run in values.items() if len(set(by_run)) > 1}


def caution(lines: Sequence[RunLine]) -> str:
    """A sentence on which figures of the runs can be compared."""
    if len({(line.data, line.metric) for line in lines}) > 1:
        return (
            "The runs are of other data or metrics: their scores cannot be compared, only what attention brings in "
            "each."
        )
    return (
        "Runs share no trainings, so their scores scatter against each other by more than the intervals say: compare "
        "what attention brings in each, and confirm before a choice."
    )


def score_column(lines: Sequence[RunLine]) -> str:
    """The heading of the score, with the unit if all runs share it."""
    units = {line.unit for line in lines}
    return f"score {units.pop()}".rstrip() if len(units) == 1 else "score"


def compare_html(lines: Sequence[RunLine]) -> str:
    """Write the page for :func:`compare_runs`: the result of each run, and the settings in which they differ."""
    changed = differing(lines)
    settings = ReportTable(
        [Column("setting"), *(Column(line.name) for line in lines)],
        [("", [Cell(key), *(Cell(value) for value in values)]) for key, values in changed.items()],
    )
    return rendered(
        "compare.html.j2", lines=lines, caution=caution(lines), results=_table(lines), settings=settings,
        legend=explained(choice for line in lines for choice in line.choices), style=Markup(file_text("style.css")),
    )  # fmt: skip


def _line(facts: RunFacts) -> RunLine:
    lead, standing = facts.lead, facts.standing
    spec = facts.spec
    value = float("nan") if lead is None else lead.value("pooled")
    low, high = (lead and lead.interval) or (float("nan"), float("nan"))
    margins = [
        standing.margin(lead, rival) if lead and rival and rival.hash != lead.hash else None
        for rival in (standing.none(), standing.best_uniform())
    ]
    trained = [one for one in facts.records if one.rungs and one.measurement]
    return RunLine(
        name=facts.name,
        backbone=str(spec.get("backbone", {}).get("model", "")),
        data=data_name(spec.get("data", {})),
        epochs=max((one.rungs[-1].epoch for one in trained), default=0),
        trials=len(trained),
        network="nothing yet" if lead is None else words.short_name_of(lead),
        choices=() if lead is None else tuple(lead.choices),
        status=facts.verdict.status, score=value, low=low, high=high, none=margins[0],
        uniform=margins[1], parameters=lead.relative.get("parameters") if lead else None,
        seconds=sum(one.measurement.seconds for one in trained if one.measurement),
        metric=metric_of(facts.study), unit=unit_of(facts.study).unit,
        settings=_settings(spec),
    )  # fmt: skip


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings by section and key; what an older version did not store has that version's default."""
    whole = dict(spec)
    with suppress(InputError, RunError, ValueError):  # a spec that is not whole is shown as it is
        some = {"space": {ALL: [NONE]}}  # its attentions, as its task, may be known elsewhere only
        whole = Spec.from_stored(whole | some, imports=False).to_dict()
        whole |= {section: spec[section] for section in ("space", "task") if section in spec}
    settings: dict[str, Any] = {}
    for section, fields in whole.items():
        if isinstance(fields, dict):
            settings |= {f"{section}.{key}": value for key, value in fields.items()}
        elif section not in ("name", "format"):
            settings[section] = fields
    return settings


def _table(lines: Sequence[RunLine]) -> ReportTable:
    known = [one for line in lines for one in (line.none,) if one is not None]
    reach = (min([0.0, *(one.low for one in known)]), max([0.0, *(one.high for one in known)]))
    columns = [
        Column("run"),
        Column("first", "the lead of the search, or what was confirmed"),
        Column(score_column(lines), "by the model that pools all trials, with its 95 % interval", number=True),
        Column("over none", "with the 95 % interval", number=True),
        Column("", wide=True),
        Column("over uniform", "over the best that has one attention everywhere", wide=True, number=True),
        Column("params", "multiple of the backbone without attention", wide=True, number=True),
        Column("trainings", "and their time, added up", wide=True, number=True),
        Column("status", wide=True),
    ]
    rows = []
    for line in lines:
        with_reach = Markup("{}<small>{}</small>").format(
            words.accuracy(line.score),
            "" if words.missing(line.low) else Unit(unit=line.unit).reach(line.low, line.high),
        )
        cells = [
            Cell(Markup("<b>{}</b><small>{} on {}</small>").format(line.name, line.backbone, line.data), line.name),
            Cell(line.network, line.network),
            number(line.score, with_reach),
            _margin(line.none),
            Cell(
                "" if line.none is None else bar(line.none.low, line.none.mean, line.none.high, reach, 0.0),
                "",
                "picture",
            ),
            _margin(line.uniform),
            number(line.parameters, words.multiple(line.parameters)),
            number(line.trials, Markup("{}<small>{}</small>").format(line.trials, words.about(line.seconds))),
            Cell(line.status, line.status),
        ]
        rows.append(("", cells))
    return ReportTable(columns, rows)


def _margin(margin: Margin | None) -> Cell:
    if margin is None:
        return number(None, words.NOT_THERE)
    text = Markup("{}<small>{}</small>").format(words.signed(margin.mean), words.interval(margin.low, margin.high))
    return number(margin.mean, text)


def _written(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""The content of the report without markup, gathered once for HTML and Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import optuna
import pandas as pd
import yaml

from chattn_nas.judging import Confirmation, confirmation
from chattn_nas.network.constraints import Constraint
from chattn_nas.proxy.measurement import outcome_words
from chattn_nas.report.classes import ClassFigures, class_figures
from chattn_nas.report.verdict import Verdict, verdict
from chattn_nas.results import Pick, Standing, efficiency, importance, one_shot, words
from chattn_nas.results.pareto import hypervolume_over_time
from chattn_nas.results.starts import StartRow, start_of, starts
from chattn_nas.results.tables import COSTS, Rows, leaderboard, rungs, stages
from chattn_nas.results.words import name_of
from chattn_nas.study.attributes import StudyAttributes, study_attributes
from chattn_nas.study.record import CONTROLS, NONE, UNIFORM, Record, fixed, records
from chattn_nas.training.result import final_trainings


@dataclass(frozen=True)
class RunFacts:
    """Everything that the report says of one run.

    Attributes:
        name: Name of the run.
        run: Its name in commands: the name alone below ``runs/``, else the directory, quoted for a shell.
        study, stored: The Optuna study as it was, and its stored attributes.
        records, standing, verdict: The trials, the ranking, and the verdict.
        board, effects, importance, rungs, progress, efficiency, outcomes: Tables.
        baselines: The best network against every baseline, one row each.
    """

    name: str
    run: str
    study: optuna.Study
    stored: StudyAttributes
    records: list[Record]
    standing: Standing
    verdict: Verdict
    board: pd.DataFrame
    effects: pd.DataFrame
    importance: pd.DataFrame
    rungs: pd.DataFrame
    progress: pd.DataFrame
    efficiency: pd.DataFrame
    outcomes: pd.DataFrame
    baselines: Rows

    @property
    def spec(self) -> dict[str, Any]:
        """The study's spec."""
        return dict(self.stored.spec)

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """The result of ``confirm``, if it was run."""
        confirmed = confirmation(self.study)
        return None if confirmed is None else confirmed.beside(self.standing)

    @property
    def final_trainings(self) -> list[str]:
        """One sentence per network that was trained at full length (``chattn-nas train``), oldest first."""
        named = {record.hash: record.description for record in self.records}
        unit = self.stored.scored_in
        sentences = []
        for training in final_trainings(self.study).values():
            plan, validation = training.plan, training.score
            beside = "trained on them as well" if validation is None else unit.text(validation)
            sentences.append(
                f"**{named.get(plan['architecture'], plan['architecture'])}**: "
                f"**{unit.text(training.test_score)} on the test set**, which it read once, after "
                f"{words.plural(plan['epochs'], 'epoch')} on seed {plan['seed']} (validation images: {beside}); "
                f"{words.duration(training.seconds)} on {training.device}, {training.date}."
            )
        return sentences

    @property
    def shared_weights(self) -> str:
        """Whether the one-shot prediction agrees with real trainings; empty if there is none."""
        return one_shot.in_words(self.study)

    @property
    def start(self) -> str:
        """The start of attention: ``unit``, ``official`` or ``identity``."""
        return start_of(self.spec)

    @property
    def starts(self) -> list[StartRow]:
        """How the uniform networks, the controls and the lead started."""
        return starts(self.records, self.lead.hash if self.lead else "")

    @cached_property
    def lead(self) -> Pick | None:
        """The network that the report is about: the winner of the confirmation, else the best by pooled mean."""
        if self.verdict.confirmed and self.confirmation is not None:
            return next(pick for pick in self.standing.picks if pick.hash == self.confirmation.winner)
        return next((pick for pick in self.standing.picks if not pick.control), None)

    @property
    def gates(self) -> dict[str, Any]:
        """The gates of the leading network, class by class, if they were measured."""
        measured = dict(self.stored.gates or {})
        return measured if self.lead is not None and measured.get("hash") == self.lead.hash else {}

    @cached_property
    def classes(self) -> ClassFigures | None:
        """The lead's figures on every class."""
        names = (self.stored.data_fingerprint or {}).get("classes", ())
        return class_figures(self.records, self.lead.hash, names) if self.lead else None

    @property
    def cost(self) -> str:
        """The cost that accuracy is weighed against: the first among the objectives, else parameters."""
        return cost_of(self.stored)

    def refused(self, cost: str) -> list[float]:
        """That cost of every infeasible architecture, as far as it is known."""
        by_hash = {
            record.hash: getattr(record.measurement, cost)
            for record in self.records
            if record.outcome == "infeasible" and record.measurement is not None
        }
        return sorted(float(value) for value in by_hash.values() if value is not None)

    def bound(self, cost: str) -> float | None:
        """The upper bound on that cost, in its own units."""
        text = self.spec.get("search", {}).get("constraints", {}).get(cost)
        reference = (self.stored.reference or {}).get(cost)
        if text is None or reference is None:
            return None
        parsed = Constraint.parse(text)
        return parsed.limit * reference if parsed.relative else parsed.limit

    @property
    def searched(self) -> str:
        """One line on the search: backbone, types, trials."""
        backbone = self.spec.get("backbone", {}).get("model", "a backbone")
        listed = {stage["type"] for record in self.records for stage in record.stages}
        for entries in self.spec.get("space", {}).values():
            listed |= {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
        types = sorted(listed - {NONE, *CONTROLS})
        count = max((len(record.stages) for record in self.records), default=0)
        return (
            f"Which channel attention belongs in which of the {words.plural(count, 'stage')} of {backbone} "
            f"on {data_name(self.spec.get('data', {}))}? "
            f"{words.plural(len(self.records), 'trial')}; types in the race: none, {', '.join(types) or 'no other'}."
        )

    def shares(self, top: int = 10) -> Rows:
        """The attention types of the best few networks in each stage, with counts."""
        best = self.board[~self.board["label"].isin(CONTROLS)].head(top)
        columns = [column for column in best.columns if column.startswith("stage")]
        types = sorted({name for column in columns for name in best[column].dropna()})
        return [{"type": name, **{column: int((best[column] == name).sum()) for column in columns}} for name in types]

    def reproduction(self) -> list[tuple[str, str]]:
        """Everything that is needed to reproduce the numbers."""
        measured = [record.measurement for record in self.records if record.rungs and record.measurement]
        versions = self.stored.versions or (measured[0].versions if measured else {})
        seeds = sorted({record.seed for record in self.records if record.rungs and record.seed is not None})
        entries = {
            "command": "chattn-nas search spec.yaml",
            "study": self.study.study_name,
            "training seeds": ", ".join(map(str, seeds)),
            "start of attention": self.start,
            "device": ", ".join(sorted({measurement.device for measurement in measured})),
            "hardware": self.stored.hardware,
            "versions": ", ".join(
                f"{name} {version}" for name, version in versions.items() if isinstance(version, str)
            ),
            "backbone's weights": self.stored.loaded_weights,
            "spec hash": self.stored.spec_hash,
        }
        return [(key, value) for key, value in entries.items() if value]

    def spec_text(self) -> str:
        """The spec as YAML."""
        return yaml.safe_dump(self.spec, sort_keys=False) if self.spec else ""


def cost_of(stored: StudyAttributes) -> str:
    """The first cost among a study's objectives, else ``parameters``."""
    return next((name for name in stored.objectives if name in COSTS), COSTS[0])


def gather(study: optuna.Study, directory: Path | None = None) -> RunFacts:
    """Read a study once for a report; the ``directory`` of its run is ``runs/<name>`` by default."""
    study = fixed(study)
    trials, stored = records(study), study_attributes(study)
    standing = Standing(study)
    board = leaderboard(study)
    name = stored.name or study.study_name
    usual = directory is None or (directory.name == name and directory.absolute().parent.name == "runs")
    run = name if usual else shlex.quote(str(directory))
    judged = verdict(study, trials, standing, board, run)
    return RunFacts(
        name=name,
        run=run,
        study=study,
        stored=stored,
        records=trials,
        standing=standing,
        verdict=judged,
        board=board,
        effects=stages(study),
        importance=importance(study),
        rungs=rungs(study).rename(columns={stored.scored_in.name: "score"}),
        progress=hypervolume_over_time(study, cost_of(stored)),
        efficiency=efficiency(study, standing),
        outcomes=_outcomes(trials),
        baselines=_baselines(standing, confirmation(study) if judged.confirmed else None),
    )


def _outcomes(records: list[Record]) -> pd.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        name = outcome_words(record.outcome) if record.trained else "answered from the record"
        row = rows.setdefault(name, {"outcome": name, "trials": 0, "seconds": 0.0, "reasons": {}})
        row["trials"] += 1
        if record.measurement and record.trained:
            row["seconds"] += record.measurement.seconds
        if record.reason:
            row["reasons"][record.reason] = row["reasons"].get(record.reason, 0) + 1
    for row in rows.values():
        row["time"] = words.duration(row["seconds"])
        commonest = sorted(row["reasons"].items(), key=lambda item: -item[1])[:2]
        row["reasons"] = "; ".join(f"{reason} ({count})" for reason, count in commonest)
    order = ("complete", outcome_words("pruned"), "answered from the record", "infeasible")
    table = sorted(
        rows.values(), key=lambda row: (order.index(row["outcome"]) if row["outcome"] in order else 9, row["outcome"])
    )
    return pd.DataFrame(table, columns=["outcome", "trials", "seconds", "time", "reasons"])


def _baselines(standing: Standing, confirmation: Confirmation | None) -> Rows:
    """Rows of the best network, then of each baseline with the best's margin over it."""
    confirmed = {one.hash for one in confirmation.networks} if confirmation is not None else set()
    picks = [pick for pick in standing.picks if not pick.control]
    if not picks:
        return []
    best = standing.best()
    rows = []
    for pick in [best, *(p for p in standing.baselines() if p.hash != best.hash)]:
        margin = standing.margin(best, pick) if pick.hash != best.hash else None
        rows.append(
            {
                "name": name_of(pick),
                "role": "best" if pick.hash == best.hash else "control" if pick.control
                else "uniform" if pick.label.startswith(UNIFORM) else "none",
                "pick": pick,
                "margin": margin,
                "seeds": len(pick.seeds),
                "status": "retrained" if pick.hash in confirmed else "search only",
            }
        )  # fmt: skip
    return rows


def data_name(data: Mapping[str, Any]) -> str:
    """The data set's name for readers: its name, its file or folder, else its source."""
    path = str(data.get("path") or "").rstrip("/")
    return str(data.get("name") or PurePath(path).name or data.get("dataset") or "its data")

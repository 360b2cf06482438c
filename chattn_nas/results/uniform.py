"""Tells the uniform networks of a study: those with one choice in every stage that can take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from chattn_nas import attention
from chattn_nas.errors import InputError
from chattn_nas.space import Stage
from chattn_nas.study.attributes import StudyAttributes, study_attributes
from chattn_nas.study.record import NONE, UNIFORM, Record

Stages = Sequence[Mapping[str, Any]]


class Uniformity:
    """Tells uniform networks from mixed ones, whatever their settings.

    A stage that cannot take a type has ``none`` in that type's uniform baseline; ``none`` in a stage that could take it
    makes a network mixed. If a setting has a different canonical form in each stage (ECA's kernel follows from the
    number of channels), the space says whether one choice gives them all. The space is read from the study alone:
    neither the backbone nor anything else that its spec names is imported.

    Args:
        study: The study whose spec gives the space; read only if the stages alone do not decide.
        records: The study's records.
    """

    def __init__(self, study: optuna.Study, records: Sequence[Record]) -> None:
        self._study = study
        self._takes: dict[str, frozenset[int]] = {}
        for record in records:
            if record.label.startswith(UNIFORM) and record.stages:
                self._takes[record.label.removeprefix(UNIFORM)] = _having(record.stages)
        self._forms: dict[str, list[Mapping[Any, Any]]] = {}

    def __call__(self, stages: Stages, label: str = "") -> bool:
        """Whether these stages are uniform; the backbone without attention is not."""
        if label:
            return label.startswith(UNIFORM)
        there = _having(stages)
        kinds = {str(stages[index]["type"]) for index in there}
        if len(kinds) != 1:
            return False
        kind = kinds.pop()
        if there != self._takes.get(kind, frozenset(range(len(stages)))):
            return False
        settings = [dict(stages[index]) for index in sorted(there)]
        return all(one == settings[0] for one in settings) or self._one_choice(stages, there)

    def _one_choice(self, stages: Stages, there: frozenset[int]) -> bool:
        """Whether a single choice of the space has these canonical forms in its stages."""
        kind = str(stages[min(there)]["type"])
        if kind not in self._forms:
            self._forms[kind] = _forms(study_attributes(self._study), kind)
        forms = self._forms[kind]
        shared: set[Any] | None = None
        for index in there if forms else ():
            same = {choice for choice, form in forms[index].items() if form == dict(stages[index])}
            shared = same if shared is None else shared & same
        return bool(shared)


def _forms(attributes: StudyAttributes, kind: str) -> list[Mapping[Any, Any]]:
    """The space's choices of a type with their canonical forms, per stage; empty if unknown."""
    if attention.registered(kind) is None:
        return []
    from chattn_nas.space.candidate import Candidate  # and with it torch

    forms: list[Mapping[Any, Any]] = []
    lists = {str(key): entries for key, entries in attributes.section("space").items()}
    try:
        for number, stage in enumerate(map(Stage.from_dict, attributes.stages), 1):
            entries = lists.get(str(number), lists.get("all", ()))
            of_kind = (
                entry for entry in entries if kind == (next(iter(entry)) if isinstance(entry, Mapping) else entry)
            )
            choices = (choice for entry in of_kind for choice in Candidate.parse(entry).choices())
            forms.append({choice: choice.canonical(stage).to_dict() for choice in choices})
    except (InputError, KeyError, TypeError):  # of an earlier version, which kept less or had other settings
        return []
    return forms


def _having(stages: Stages) -> frozenset[int]:
    return frozenset(index for index, stage in enumerate(stages) if stage["type"] != NONE)

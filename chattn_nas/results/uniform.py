"""Which networks of a study are uniform: equal in every stage that can take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.record import NONE, UNIFORM, Record

Stages = Sequence[Mapping[str, Any]]


class Uniformity:
    """Tells uniform networks from mixed ones, whatever their settings.

    A stage that cannot take a type has ``none`` in that type's uniform baseline; a stage that can and has ``none``
    makes a network mixed. Where a setting has another canonical form in each stage (ECA's kernel follows from the
    number of channels), the space says whether one choice gives them all.

    Args:
        study: Whose spec gives the space; it is built only where the stages alone leave it open.
        found: Its records.
    """

    def __init__(self, study: optuna.Study, records: Sequence[Record]) -> None:
        self._study = study
        self._takes: dict[str, frozenset[int]] = {}
        for record in records:
            if record.label.startswith(UNIFORM) and record.stages:
                self._takes[record.label.removeprefix(UNIFORM)] = _having(record.stages)
        self._canonical: list[Mapping[Any, Any]] | None = None

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
        if self._canonical is None:
            from chattn_nas.spec.spec import Spec  # and with it torch: rarely needed

            self._canonical = list(Spec.from_stored(dict(study_attributes(self._study).spec)).search_space().canonical)
        shared: set[Any] | None = None
        for index in there:
            forms = self._canonical[index]
            same = {choice for choice, form in forms.items() if form.to_dict() == dict(stages[index])}
            shared = same if shared is None else shared & same
        return bool(shared)


def _having(stages: Stages) -> frozenset[int]:
    return frozenset(index for index, stage in enumerate(stages) if stage["type"] != NONE)

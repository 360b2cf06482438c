"""Settings that change nothing, since another setting decides: refused, as the user expects an effect of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chattn_nas import attention
from chattn_nas.attention import AttentionType
from chattn_nas.errors import InputError
from chattn_nas.space.architecture import NONE
from chattn_nas.space.candidate import PLACE, Candidate
from chattn_nas.space.settings import SpaceSettings

Domains = Mapping[str, tuple[Any, ...]]
#: Sites of all sizes: what is idle at one of them only is no mistake.
SITES = [(2**power, (side, side)) for power in range(3, 13) for side in (7, 32)]


def refuse_idle(settings: SpaceSettings) -> None:
    """Refuse a setting that has no effect, whatever its value, beside the other settings of its entry.

    Raises:
        InputError: There is one; ``where`` is the path of keys below ``space``.
    """
    for key, entries in settings.root.items():
        for index, entry in enumerate(entries):
            given = next(iter(entry.values())) if isinstance(entry, Mapping) else None
            if not isinstance(given, Mapping):
                continue
            candidate = Candidate.parse(entry)
            for name in given:
                if because := _idle(attention.get(candidate.type), candidate.domains, name):
                    raise InputError(
                        f"{candidate.type}: {name} has no effect {because}; leave it out",
                        where=(key, index, candidate.type, name),
                    )


def same_but_idle(one: SpaceSettings, other: SpaceSettings) -> bool:
    """Whether two spaces differ by nothing but settings without effect: earlier versions took what is refused now."""
    return _effective(one) == _effective(other)


def _effective(settings: SpaceSettings) -> dict[int | str, list[tuple[str, Domains]]]:
    """The entries of every key, with those of their settings that have an effect."""
    return {
        key: [
            (one.type, {name: values for name, values in one.domains.items() if not _idle(kind, one.domains, name)})
            for one in map(Candidate.parse, entries)
            for kind in (attention.get(one.type),)
        ]
        for key, entries in settings.root.items()
    }


def _idle(kind: AttentionType, domains: Domains, name: str) -> str:
    """Why a setting has no effect: ``with kernel_size 3``; empty if it has one."""
    if name in PLACE:
        return "where there is no attention" if kind.name == NONE else ""
    if _matters(kind, domains, name):
        return ""
    everything = {key: (*kind.hyperparameters[key].values, *domains[key]) for key in kind.hyperparameters}
    for other in everything:
        if other != name and _matters(kind, {**domains, other: everything[other]}, name):
            written = (json.dumps(value, default=str).strip('"') for value in domains[other])
            return f"with {other}: {' or '.join(written)}"
    return "beside the other settings"


def _matters(kind: AttentionType, domains: Domains, name: str) -> bool:
    values = dict.fromkeys((*kind.hyperparameters[name].values, *domains[name]))
    if len(values) == 1:
        return True
    for others in _combinations({key: domains[key] for key in kind.hyperparameters if key != name}):
        forms = [kind.canonical({**others, name: value}, SITES) for value in values]
        if any(form != forms[0] for form in forms):
            return True
    return False


def _combinations(domains: Domains) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*domains.values()):
        yield dict(zip(domains, values, strict=True))

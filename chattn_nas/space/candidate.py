"""An attention that a stage may take, with the possible values of its settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chattn_nas import attention
from chattn_nas.attention import BLOCKS
from chattn_nas.errors import InputError
from chattn_nas.settings import shown
from chattn_nas.space.architecture import StageChoice

EXAMPLE = "se or {se: {reduction: 4}}"
#: Where a choice sits; every type has these beside its own hyperparameters.
PLACE = ("placement", "blocks")


@dataclass(frozen=True)
class Candidate:
    """An attention type and a domain for each of its settings.

    Attributes:
        type: Name of the attention type.
        domains: Possible values of every hyperparameter, of ``placement`` and of ``blocks``.
    """

    type: str
    domains: Mapping[str, tuple[Any, ...]]

    @classmethod
    def parse(cls, entry: Any) -> Candidate:
        """Parse an entry of a spec: ``se``, ``{se: search}`` or ``{se: {reduction: [4, 8]}}``.

        Raises:
            InputError: It is wrong; ``where`` is the path of keys below the entry.
        """
        if isinstance(entry, Mapping) and len(entry) == 1:
            (name, given), inside = next(iter(entry.items())), True
        else:
            name, given, inside = entry, None, False
        if name is None or name is False:  # how YAML reads ~, null, no and off
            raise InputError(f"no attention is written none, and YAML reads {shown(name)} here")
        if not isinstance(name, str):
            raise InputError(
                f"an entry is an attention's name, or its name with settings, such as {EXAMPLE}, not {shown(entry)}"
            )
        try:
            kind = attention.get(name)
        except InputError as error:
            refusal = error
            if isinstance(given, str) and given.isidentifier() and given not in ("search", *attention.names()):
                meant = f"{name}:{given}"
                refusal = InputError(
                    f"unknown attention type {name!r}: a class of your own is written {meant!r}, in one word"
                )
            raise (refusal.at(name) if inside else refusal) from None
        own = {"placement": (kind.placement, *kind.placements), "blocks": (kind.blocks, *BLOCKS)}
        if given == "search":
            return cls(name, {key: domain.values for key, domain in kind.hyperparameters.items()}
                       | {key: own[key][:1] for key in PLACE})  # fmt: skip
        if not isinstance(given, Mapping | None):
            first = next((f"{{{key}: {value}}}" for key, value in kind.defaults.items() if value is not None), "")
            such = f", such as {first}," if first else ""
            raise InputError(
                f"{name} takes settings{such} or the word 'search', not {shown(given)}",
                where=(name,),
                value=given,
                choices=("search",),
            )
        domains = {key: (value,) for key, value in kind.defaults.items()} | {key: own[key][:1] for key in PLACE}
        for key, value in (given or {}).items():
            domains[key] = cls._domain(kind, key, value)
        return cls(name, domains)

    @staticmethod
    def _domain(kind: attention.AttentionType, key: str, value: Any) -> tuple[Any, ...]:
        place = {"placement": kind.placements, "blocks": BLOCKS}
        if key not in place and key not in kind.hyperparameters:
            raise InputError(
                f"{kind.name} has no setting {key!r}",
                where=(kind.name, key), value=key, choices=(*kind.hyperparameters, *place),
            )  # fmt: skip
        if key in kind.hyperparameters and value == "search":
            return kind.hyperparameters[key].values
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not values:
            raise InputError(f"{key} has an empty list of values", where=(kind.name, key))
        for one in values:
            try:
                if key not in place:
                    kind.hyperparameters[key].check(key, one)
                elif one not in place[key]:
                    raise InputError(f"{key} cannot be {one!r}", where=(key,), value=one, choices=place[key])
            except InputError as error:
                if isinstance(one, str | Mapping | list | tuple) and not error.choices:
                    listed = sorted(known for known in kind.hyperparameters[key].values if known is not None)
                    words = f"{error.message}; there are no ranges: values are listed, such as {key}: {listed}"
                    error = InputError(words, where=error.where)
                raise error.at(kind.name) from None
        if len(set(values)) < len(values):
            raise InputError(f"{key} lists a value twice: {list(values)}", where=(kind.name, key))
        return values

    @property
    def open(self) -> dict[str, tuple[Any, ...]]:
        """The settings with more than one value, which a sampler chooses."""
        return {key: values for key, values in self.domains.items() if len(values) > 1}

    def choice(self, values: Mapping[str, Any]) -> StageChoice:
        """The choice with these values for the open settings."""
        return StageChoice.from_dict(
            {"type": self.type, **{key: domain[0] for key, domain in self.domains.items()}, **values}
        )

    def choices(self) -> Iterator[StageChoice]:
        """Every choice, in the order of the domains."""
        for values in itertools.product(*self.domains.values()):
            yield self.choice(dict(zip(self.domains, values, strict=True)))

    def default(self) -> StageChoice:
        """The choice with each setting at the type's default if that is possible, else at its first value."""
        kind = attention.get(self.type)
        preferred = kind.defaults | {"placement": kind.placement, "blocks": kind.blocks}
        return self.choice({key: preferred[key] for key, values in self.open.items() if preferred[key] in values})

"""The search space: the possible choices per stage, counted, enumerated and sampled."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.space.architecture import NONE, Architecture, Backbone, StageChoice
from chattn_nas.space.settings import SpaceSettings
from chattn_nas.space.stage import Stage

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

CONTROL = "random_gate"
#: The freedom of a gate without its look at the input: only what beats it is attention.
RIVAL = "channel_scale"


class SearchSpace:
    """Per-stage choices over a backbone.

    Args:
        settings: The ``space`` section of a spec.
        backbone: The backbone.
        stages: Its stages, from ``chattn_nas.network.stages``.

    Raises:
        InputError: A stage that the backbone lacks, an unknown type or value, or a choice that some stage cannot
            take; ``where`` is the path of keys below ``space``.
    """

    @checked
    def __init__(self, settings: SpaceSettings, backbone: Backbone, stages: Sequence[Stage]) -> None:
        self.backbone = backbone
        self.stages = tuple(stages)
        self.candidates = settings.candidates(len(self.stages))
        #: Per stage: every choice to its canonical form, in the order of the spec.
        self.canonical: tuple[dict[StageChoice, StageChoice], ...] = tuple(
            self._canonical(settings, number) for number in range(1, len(self.stages) + 1)
        )

    def _canonical(self, settings: SpaceSettings, number: int) -> dict[StageChoice, StageChoice]:
        forms = {}
        for index, candidate in enumerate(self.candidates[number - 1]):
            for choice in candidate.choices():
                try:
                    forms[choice] = choice.canonical(self.stages[number - 1])
                except InputError as error:
                    where = (settings.key_of(number), index, candidate.type)
                    raise InputError(
                        f"stage {number}: {choice} is not possible: {error}; "
                        f"leave it out, or give stage {number} a list of its own",
                        where=where,
                    ) from None
        return forms

    @property
    def size(self) -> int:
        """Number of combinations of settings, before canonicalisation."""
        return math.prod(len(choices) for choices in self.canonical)

    @property
    def canonical_size(self) -> int:
        """Number of different networks; exact, since stages are independent of each other."""
        return math.prod(len(set(choices.values())) for choices in self.canonical)

    def enumerate(self) -> Iterator[Architecture]:
        """Every different network once, in canonical form; the last stage varies fastest."""
        for stages in itertools.product(*(dict.fromkeys(choices.values()) for choices in self.canonical)):
            yield Architecture(self.backbone, stages)

    def random(self, rng: random.Random) -> Architecture:
        """One of the different networks, all equally likely, in canonical form."""
        stages = (rng.choice(list(dict.fromkeys(choices.values()))) for choices in self.canonical)
        return Architecture(self.backbone, tuple(stages))

    def sample(self, trial: BaseTrial) -> Architecture:
        """The architecture that an Optuna trial proposes (not canonical).

        Suggests ``stage2.type`` and, only for the type that was chosen and only where there is more than one value,
        ``stage2.se.reduction``.
        """
        stages = []
        for number, candidates in enumerate(self.candidates, 1):
            by_type = {candidate.type: candidate for candidate in candidates}
            types = list(by_type)
            chosen = trial.suggest_categorical(f"stage{number}.type", types) if len(types) > 1 else types[0]
            candidate = by_type[chosen]
            values = {
                key: trial.suggest_categorical(f"stage{number}.{chosen}.{key}", list(values))
                for key, values in candidate.open.items()
            }
            stages.append(candidate.choice(values))
        return Architecture(self.backbone, tuple(stages))

    def parameters(self) -> dict[str, tuple[Any, ...]]:
        """Every parameter that :meth:`sample` may suggest, with its values."""
        parameters: dict[str, tuple[Any, ...]] = {}
        for number, candidates in enumerate(self.candidates, 1):
            if len(candidates) > 1:
                parameters[f"stage{number}.type"] = tuple(candidate.type for candidate in candidates)
            for candidate in candidates:
                for key, values in candidate.open.items():
                    parameters[f"stage{number}.{candidate.type}.{key}"] = values
        return parameters

    def params(self, architecture: Architecture) -> dict[str, Any] | None:
        """The values with which :meth:`sample` proposes this architecture; ``None`` if it is not in the space.

        A canonical architecture is found through the first choice of each stage that has its form.
        """
        params: dict[str, Any] = {}
        for number, (choice, candidates, canonical) in enumerate(
            zip(architecture.choices(len(self.stages)), self.candidates, self.canonical, strict=True), 1
        ):
            if choice not in canonical:
                first = next((raw for raw, form in canonical.items() if form == choice), None)
                if first is None:
                    return None
                choice = first
            candidate = next(candidate for candidate in candidates if candidate.type == choice.type)
            if len(candidates) > 1:
                params[f"stage{number}.type"] = choice.type
            values = choice.values | {"placement": choice.placement, "blocks": choice.blocks}
            params |= {f"stage{number}.{choice.type}.{key}": values[key] for key in candidate.open}
        return params

    def baselines(self) -> list[tuple[str, Architecture]]:
        """The baselines that a winner must beat: ``none``, each type uniformly, the random gate, the channel scale.

        A uniform baseline takes a type with its default settings (or the first listed) in every stage that allows
        it, and ``none`` in the others. ``none``, ``random_gate`` and ``channel_scale`` are included even if the space
        lacks them.
        """
        types = dict.fromkeys(candidate.type for candidates in self.candidates for candidate in candidates)
        baselines = [("none", Architecture(self.backbone, (StageChoice(),) * len(self.stages)))]
        for name in types:
            if name in (NONE, CONTROL, RIVAL):
                continue
            stages = tuple(
                next((c.default() for c in candidates if c.type == name), StageChoice())
                for candidates in self.candidates
            )
            baselines.append((f"uniform {name}", Architecture(self.backbone, stages)))
        for name in (CONTROL, RIVAL):
            baselines.append((name, Architecture(self.backbone, (StageChoice(name),) * len(self.stages))))
        return baselines

    def __contains__(self, architecture: Architecture) -> bool:
        return self.params(architecture) is not None

"""Converts a search space to NNI's nested choices (``_name``), and samples of NNI's tuners to architectures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chattn_nas.errors import InputError
from chattn_nas.space.architecture import Architecture, StageChoice
from chattn_nas.space.search_space import SearchSpace


def nni_space(space: SearchSpace) -> dict[str, Any]:
    """The space as nested choices: per stage the types, each with its settings that have several values."""
    return {
        f"stage{number}": _choice(
            [
                {"_name": candidate.type, **{key: _choice(list(values)) for key, values in candidate.open.items()}}
                for candidate in candidates
            ]
        )
        for number, candidates in enumerate(space.candidates, 1)
    }


def nni_layers(space: SearchSpace) -> dict[str, Any]:
    """The space as layer choices: per stage its different modules, as ``RegularizedEvolutionTuner`` needs it."""
    return {
        f"stage{number}": {"_type": "layer_choice", "_value": [str(form) for form in _forms(space, number)]}
        for number in range(1, len(space.stages) + 1)
    }


def nni_sample(space: SearchSpace, architecture: Architecture) -> dict[str, Any] | None:
    """This architecture as a tuner would propose it; ``None`` if it is not in the space."""
    params = space.params(architecture)
    if params is None:
        return None
    sample = {}
    for number, candidates in enumerate(space.candidates, 1):
        name = params.get(f"stage{number}.type", candidates[0].type)
        candidate = next(candidate for candidate in candidates if candidate.type == name)
        settings = {key: params[f"stage{number}.{name}.{key}"] for key in candidate.open}
        sample[f"stage{number}"] = {"_name": name, **settings}
    plain: dict[str, Any] = json.loads(json.dumps(sample))
    return plain


def read_nni(space: SearchSpace, sample: Mapping[str, Any]) -> Architecture:
    """The architecture of a sample (not canonical); keys other than those of stages are ignored.

    Raises:
        InputError: The sample belongs to another space.
    """
    try:
        stages = tuple(_read(space, number, sample[f"stage{number}"]) for number in range(1, len(space.stages) + 1))
    except (KeyError, IndexError, TypeError):
        raise InputError(f"NNI's parameters are of another space: {dict(sample)}") from None
    return Architecture(space.backbone, stages)


def _read(space: SearchSpace, number: int, sample: Mapping[str, Any]) -> StageChoice:
    if "_idx" in sample:
        return _forms(space, number)[sample["_idx"]]
    candidate = {candidate.type: candidate for candidate in space.candidates[number - 1]}[sample["_name"]]
    return candidate.choice({key: sample[key] for key in candidate.open})


def _forms(space: SearchSpace, number: int) -> list[StageChoice]:
    return list(dict.fromkeys(space.canonical[number - 1].values()))


def _choice(values: list[Any]) -> dict[str, Any]:
    return {"_type": "choice", "_value": values}

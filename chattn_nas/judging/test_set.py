"""Reads the test set: once per run, after the confirmation, for the two networks of the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from chattn_nas import tasks
from chattn_nas.data import load_test
from chattn_nas.errors import RunError
from chattn_nas.judging._confirmation import Confirmation
from chattn_nas.network.weights import read_weights
from chattn_nas.proxy import evaluate, resolve_device
from chattn_nas.search.trainer import restored
from chattn_nas.space import Architecture
from chattn_nas.stored import Stored
from chattn_nas.study import RunDirectory
from chattn_nas.study.attributes import study_attributes

ATTRIBUTE = "test_set"

Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class HeldOutScores(Stored):
    """Scores on the test set.

    Attributes:
        scores: 0 to 1, by hash and seed.
        images: Number of test images; 0 if it was not stored.
        networks: The networks' names by hash.
    """

    FORMAT: ClassVar[int] = 2

    scores: Mapping[str, Mapping[str, float]]
    images: int = 0
    networks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """The first version of format 1 held the scores alone."""
        return data if format > 1 or "scores" in data else {"scores": data}


def read_test_set(run: RunDirectory, confirmed: RunDirectory, confirmation: Confirmation) -> tuple[Scores, int]:
    """Score the winner and its rival on the test set (0 to 1, by hash and seed), with the weights that were kept.

    Later calls return the same scores and never read the test set for other networks: a second look would be a choice
    made on the test set. Only a complete reading is stored: every network on every seed. If it was of other networks
    than today's, nothing is returned.

    Returns:
        The scores, and the number of test images.

    Raises:
        RunError: Weights of a confirmed network are missing.
    """
    wanted = {
        key: sorted(confirmation.network(key).scores)
        for key in (confirmation.winner, confirmation.rival)
        if key is not None
    }
    kept = study_attributes(run.study).test_set
    if kept:
        reading = HeldOutScores.from_dict(kept, "the reading of the test set")
        return (reading.scores if set(reading.scores) == set(wanted) else {}), reading.images
    missing = [
        (key, seed) for key, seeds in wanted.items() for seed in seeds if confirmed.checkpoint(key, seed) is None
    ]
    if missing:
        key, seed = missing[0]
        raise RunError(
            f"the weights of {confirmation.network(key).name} on seed {seed} are not in {confirmed.directory}: "
            "the test set was not read"
        )
    device = resolve_device(run.spec.proxy.device)
    data = tasks.load(run.spec.task, run.spec.data, device=device)
    test = load_test(run.spec.data, device=device)
    plan = {row["hash"]: row for row in study_attributes(confirmed.study).plan}
    scores: dict[str, dict[str, float]] = {}
    for key, seeds in wanted.items():
        architecture = Architecture.from_dict(plan[key]["architecture"])
        scores[key] = by_seed = {}
        for seed in seeds:
            weights = confirmed.checkpoint(key, seed)
            assert weights is not None, "it was looked for above"
            state = read_weights(weights)
            network = restored(run.spec, architecture, seed=seed, data=data, state=state)
            score, _ = evaluate(network.to(device), test, data, batch_size=run.spec.proxy.batch_size, device=device)
            by_seed[str(seed)] = score
    named = {key: confirmation.network(key).name for key in wanted}
    reading = HeldOutScores(scores=scores, images=len(test), networks=named)
    run.study.set_user_attr(ATTRIBUTE, reading.to_dict())
    return scores, len(test)

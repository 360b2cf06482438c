"""The test set: read once in the life of a run, after confirmation, for the two networks of the verdict."""

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
        images: How many it holds; 0 where that was not kept.
        networks: Names by hash.
    """

    FORMAT: ClassVar[int] = 2

    scores: Mapping[str, Mapping[str, float]]
    images: int = 0
    networks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 was at first the scores alone."""
        return data if format > 1 or "scores" in data else {"scores": data}


def read_test_set(run: RunDirectory, confirmed: RunDirectory, found: Confirmation) -> tuple[Scores, int]:
    """Accuracy (0 to 1) on the test set of the winner and its rival, by hash and seed, from their kept weights.

    A run that has read it gives the same answer again and never reads it for other networks: a second look would be a
    choice made on the test set. Only a whole reading is kept: of every network on every seed. Where that was of other
    networks than today's, nothing is returned: the score of one network is no other's.

    Returns:
        The scores, and the number of test images.

    Raises:
        RunError: Weights of a confirmed network are missing.
    """
    wanted = {key: sorted(found.network(key).scores) for key in (found.winner, found.rival) if key is not None}
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
            f"the weights of {found.network(key).name} on seed {seed} are not in {confirmed.directory}: the test set "
            "was not read"
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
    named = {key: found.network(key).name for key in wanted}
    reading = HeldOutScores(scores=scores, images=len(test), networks=named)
    run.study.set_user_attr(ATTRIBUTE, reading.to_dict())
    return scores, len(test)

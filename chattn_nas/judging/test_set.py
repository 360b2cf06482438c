"""The test set: read once in the life of a run, after confirmation, for the two networks of the verdict."""

from __future__ import annotations

import safetensors.torch

from chattn_nas.data import load_data, load_test
from chattn_nas.judging._confirmation import Confirmation
from chattn_nas.proxy import evaluate, resolve_device
from chattn_nas.search.trainer import build_prepared
from chattn_nas.space import Architecture
from chattn_nas.study import RunDirectory

ATTRIBUTE = "test_set"

Scores = dict[str, dict[str, float]]


def read_test_set(run: RunDirectory, confirmed: RunDirectory, confirmation: Confirmation) -> Scores:
    """Accuracy (0 to 1) on the test set of the winner and its rival, by hash and seed, from their kept weights.

    A run that has read it gives the same answer again and never reads it for other networks: a second look would be a
    choice made on the test set.
    """
    kept: Scores | None = run.study.user_attrs.get(ATTRIBUTE)
    if kept is not None:
        return kept
    device = resolve_device(run.spec.proxy.device)
    data = load_data(run.spec.data, device=device)
    test = load_test(run.spec.data, device=device)
    plan = {row["hash"]: row for row in confirmed.study.user_attrs["plan"]}
    scores: Scores = {}
    for key in (confirmation.winner, confirmation.rival):
        if key is None:
            continue
        architecture = Architecture.from_dict(plan[key]["architecture"])
        for seed in confirmation.network(key).accuracies:
            weights = confirmed.checkpoint(key, seed)
            if weights is None:
                continue
            network = build_prepared(
                run.spec, architecture, seed=seed, data=data, state=safetensors.torch.load_file(weights)
            )
            accuracy, _ = evaluate(network.to(device), test, data, batch_size=run.spec.proxy.batch_size, device=device)
            scores.setdefault(key, {})[str(seed)] = accuracy
    run.study.set_user_attr(ATTRIBUTE, scores)
    return scores

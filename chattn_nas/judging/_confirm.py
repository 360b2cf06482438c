"""Confirmation: the best of a search and its baselines, trained again at full length on seeds the search never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from chattn_nas.errors import InputError, RunError
from chattn_nas.judging._confirmation import Confirmation, Network, judge
from chattn_nas.judging.test_set import read_test_set
from chattn_nas.results._best import Pick, Standing
from chattn_nas.results.tables import percent
from chattn_nas.results.words import called, name_of
from chattn_nas.search import search
from chattn_nas.search.same import check_same
from chattn_nas.search.session import enqueue_trainings, quiet_optuna
from chattn_nas.space import SpaceSettings
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.record import CONTROLS, NONE, RIVAL, UNIFORM, once_per_seed, records

#: Full length: this many times the search's last rung, in one cycle, unless the caller says how many epochs.
FULL = 4
#: Seeds of a confirmation start so far above those of the search: luck that chose the winner is not met again.
FRESH = 10_000
PLAN = "plan"
ATTRIBUTE = "confirmation"


def confirm(
    run: RunDirectory,
    top: int = 3,
    seeds: int = 5,
    epochs: int | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Confirmation:
    """Retrain the best ``top`` of a run, its best uniform baseline, ``none``, ``channel_scale`` and ``random_gate``.

    All share their seeds, so that differences are paired. Trainings go through the same workers as the search, into a
    second study ``<name>-confirm`` of the same storage; the same call after an interruption goes on, more seeds or a
    larger ``top`` add to what is there. When all are done the test set is read, once in the life of the run, for the
    winner and what it is judged against. The result is kept in the study's attribute ``confirmation``.

    Args:
        run: A run with at least one complete training.
        top: How many of the best by pooled mean.
        seeds: Trainings per network.
        epochs: Length of each training; four times the search's last rung by default.
        workers: As for ``search``.
        progress: As for ``search``.

    Raises:
        InputError: Fewer than 2 seeds, or a ``top`` or ``epochs`` below 1.
        RunError: Nothing was trained to the end, or an earlier confirmation of this run had another length.
    """
    for name, value, least in (("top", top, 1), ("seeds", seeds, 2), ("epochs", epochs or 1, 1)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, not {value}", value=value)
    quiet_optuna()
    Standing(run.study).best()  # raises where there is none, before anything is made
    spec = spec_of(run, seeds, epochs)
    _same_length(run, spec)
    check_same(run.study, run.spec)
    with RunDirectory.held(spec, run.directory / "confirm") as opened:
        plan = _plan(run, opened.study, top)
        fresh = range(spec.search.seed, spec.search.seed + seeds)
        enqueue_trainings(
            opened.study, ((row["architecture"], row["hash"], seed, row["label"]) for seed in fresh for row in plan)
        )
        target_trials = sum(counts_to_target(trial) for trial in opened.study.get_trials(deepcopy=False))
        search(spec, run=opened.directory, trials=target_trials, workers=workers, progress=progress)
    found = judge(_measured(opened.study, plan), epochs=spec.proxy.rungs[-1])
    run.study.set_user_attr(ATTRIBUTE, found.to_dict())
    test = read_test_set(run, opened, found)
    found = found.with_test(test)
    run.study.set_user_attr(ATTRIBUTE, found.to_dict())
    return found


def confirmation(study: optuna.Study) -> Confirmation | None:
    """What ``confirm`` found for this study, or ``None`` before it was run."""
    kept = study.user_attrs.get(ATTRIBUTE)
    return Confirmation.from_dict(kept) if kept else None


def spec_of(run: RunDirectory, seeds: int, epochs: int | None) -> Spec:
    """The spec of a run's confirmation: one long rung, nothing stopped early, nothing refused for its cost."""
    spec = run.spec
    length = epochs or FULL * spec.proxy.rungs[-1]
    limit = spec.search.timeout
    changes: dict[str, Any] = {
        "sampler": "random", "pruner": "none", "objectives": ["accuracy"], "constraints": {},
        "seed": spec.search.seed + FRESH, "max_seeds": seeds,
        "storage": run.storage_seen_from(run.directory / "confirm"),
        "timeout": limit and limit * max(1.0, length / spec.proxy.rungs[-1]),
        "keep_checkpoints": 1000,  # all: the test set is read from them
    }  # fmt: skip
    return spec.model_copy(
        update={
            "name": f"{spec.name}-confirm",
            # What is trained is given trial by trial; the space only has to know none and the control.
            "space": SpaceSettings.model_validate({"all": [NONE]}),
            "proxy": spec.proxy.model_copy(update={"rungs": [length]}),
            "search": spec.search.model_copy(update=changes),
        }
    )


def _same_length(run: RunDirectory, spec: Spec) -> None:
    directory = run.directory / "confirm"
    if not (directory / "spec.yaml").is_file():
        return
    before = RunDirectory(directory).spec.proxy.rungs[-1]
    if before != spec.proxy.rungs[-1]:
        raise RunError(
            f"this run was confirmed with {before} epochs, which cannot be compared with {spec.proxy.rungs[-1]}: "
            f"say --epochs {before}, or remove {directory} and its study {spec.name!r} to begin anew"
        )


def _plan(run: RunDirectory, study: optuna.Study, top: int) -> list[dict[str, Any]]:
    """What is trained: what an earlier call planned, and what is new. The rival, once chosen, stays."""
    plan: list[dict[str, Any]] = list(study.user_attrs.get(PLAN, []))
    standing = Standing(run.study)
    candidates = [pick for pick in standing.picks if not pick.control][:top]
    uniform = standing.best_uniform()
    wanted = [(pick, "candidate") for pick in candidates]
    wanted += [(pick, "uniform") for pick in (uniform,) if pick is not None]
    known = {row["hash"]: row for row in plan}
    if any("uniform" in row["roles"] for row in plan):
        wanted = [(pick, role) for pick, role in wanted if role != "uniform"]
    for pick, role in wanted:
        row = known.setdefault(pick.hash, _row(run, pick))
        row["roles"] = [*row["roles"], *([role] if role not in row["roles"] else [])]
    for label, architecture in run.spec.search_space().baselines():
        if label not in (NONE, *CONTROLS):
            continue
        canonical = architecture.canonical(run.stages)
        baseline = standing.labelled(label)
        row = known.setdefault(
            canonical.hash,
            _row(run, baseline) if baseline is not None
            else {"hash": canonical.hash, "name": called(label),
                  "label": label, "roles": [], "search": None, "search_pooled": None, "search_seeds": 0,
                  "architecture": canonical.to_dict()},
        )  # fmt: skip
        role = {NONE: "none", RIVAL: RIVAL}.get(label, "control")
        row["roles"] = [*row["roles"], *([role] if role not in row["roles"] else [])]
    plan = list(known.values())
    study.set_user_attr(PLAN, plan)
    return plan


def _row(run: RunDirectory, pick: Pick) -> dict[str, Any]:
    return {
        "hash": pick.hash,
        "name": name_of(pick),
        "label": pick.label if not pick.label.startswith(UNIFORM) else "",
        "roles": [],
        "search": pick.mean,
        "search_pooled": pick.pooled,
        "search_seeds": len(pick.seeds),
        "architecture": {"backbone": run.spec.backbone.backbone.to_dict(), "stages": list(pick.stages)},
    }


def counts_to_target(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the trial is one of those that a search has to end."""
    return trial.user_attrs.get("outcome") != "infeasible"


def _measured(study: optuna.Study, plan: Sequence[dict[str, Any]]) -> list[Network]:
    done: dict[str, dict[int, float]] = {}
    for record in once_per_seed(records(study)):
        if record.accuracy is not None and record.seed is not None:
            done.setdefault(record.hash, {})[record.seed] = percent(record.accuracy)
    return [
        Network(
            hash=row["hash"], name=row["name"], roles=tuple(row["roles"]), search=row["search"],
            search_pooled=row["search_pooled"], search_seeds=row["search_seeds"],
            accuracies=dict(sorted(done.get(row["hash"], {}).items())),
        )
        for row in plan
    ]  # fmt: skip

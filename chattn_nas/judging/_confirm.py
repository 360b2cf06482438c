"""Confirmation: trains the best of a search and its baselines again, at full length, on new seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from chattn_nas.arguments import asked_by, at_least, checked
from chattn_nas.credentials import redacted
from chattn_nas.data import has_test
from chattn_nas.errors import RunError
from chattn_nas.judging._confirmation import Confirmation, Network, families, judge, on_common_seeds
from chattn_nas.judging.counted import chance_of, counted
from chattn_nas.judging.given import spec_of_given, time_limit, train_given
from chattn_nas.judging.planning import ConfirmPlan, plan_confirmation, plan_rows
from chattn_nas.judging.test_set import read_test_set
from chattn_nas.plural import plural
from chattn_nas.results import Standing
from chattn_nas.results.words import FAILED
from chattn_nas.search.same import check_same
from chattn_nas.search.session import quiet_optuna
from chattn_nas.spec import Spec
from chattn_nas.spec.training_settings import FULL
from chattn_nas.study import RunDirectory
from chattn_nas.study._optuna import storage_of
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.metric import unit_of
from chattn_nas.study.record import once_per_seed, records, wording_of
from chattn_nas.study.run import CONFIRM
from chattn_nas.study.storage import load_study

#: Seeds of a confirmation start so far above those of the search: luck that chose the winner is not met again.
FRESH = 10_000
PLAN = "plan"
ATTRIBUTE = "confirmation"
#: What was judged at every look at a run.
LOOKS = "confirmation_looks"


@checked
def confirm(
    run: RunDirectory | Path | str,
    top: int = 3,
    seeds: int = 5,
    epochs: int | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Confirmation:
    """Retrain the best ``top`` of a run, its best uniform network, ``none`` and the controls, and compare them.

    All networks share their seeds, so that differences are paired. Trainings go through the same workers as the search,
    into a second study ``<name>-confirm`` of the same storage. After an interruption the same call continues; more
    seeds or a larger ``top`` add trainings, and each such look spends its part of the error. The test set is checked
    before the first training and read after the last, once per run, for the winner and its rival. The result is stored
    in the study's attribute ``confirmation``.

    Args:
        run: A run with at least one complete training, or its directory.
        top: How many of the best by pooled mean.
        seeds: Trainings per network.
        epochs: Length of each training; four times the search's last rung by default.
        workers: As for ``search``.
        progress: As for ``search``.

    Raises:
        InputError: Fewer than 2 seeds, or a ``top`` or ``epochs`` below 1.
        DataError: The test set cannot be read.
        RunError: Nothing was trained to the end, or an earlier confirmation of this run had another length.
    """
    run = run if isinstance(run, RunDirectory) else RunDirectory(run)
    spec = _possible(run, top, seeds, epochs)
    tested = has_test(run.spec.data)
    check_same(run.study, run.spec)
    with RunDirectory.held(spec, run.directory / CONFIRM, what="confirmation") as opened:
        plan = plan_rows(run, Standing(run.study), list(study_attributes(opened.study).plan), top)
        opened.study.set_user_attr(PLAN, plan)
        fresh = range(spec.search.seed, spec.search.seed + seeds)
        trainings = ((row["architecture"], row["hash"], seed, row["label"]) for seed in fresh for row in plan)
        train_given(opened, trainings, wording_of(run.study), workers=workers, progress=progress)
    networks = _measured(opened.study, plan, chance=chance_of(run.spec))
    confirmation = judge(
        networks,
        epochs=spec.proxy.rungs[-1],
        look=_look(run.study, networks, spec.proxy.rungs[-1]),
        useful=run.spec.judging.useful,
        unit=unit_of(opened.study).to_dict(),
    )
    run.study.set_user_attr(ATTRIBUTE, confirmation.to_dict())
    if tested:
        confirmation = confirmation.with_test(*read_test_set(run, opened, confirmation))
        run.study.set_user_attr(ATTRIBUTE, confirmation.to_dict())
    return confirmation


@checked
def confirm_plan(run: RunDirectory, top: int = 3, seeds: int = 5, epochs: int | None = None) -> ConfirmPlan:
    """Plan a confirmation without training: its networks, the seeds that a useful difference takes, and its costs.

    Args:
        run: A run with at least one complete training.
        top: How many of the best by pooled mean.
        seeds: Trainings per network.
        epochs: Length of each training; four times the search's last rung by default.

    Raises:
        InputError, RunError: As :func:`confirm`.
    """
    spec = _possible(run, top, seeds, epochs)
    return plan_confirmation(run, _confirmed(run), top=top, seeds=seeds, epochs=spec.proxy.rungs[-1])


def _confirmed(run: RunDirectory) -> optuna.Study | None:
    """The study of the confirmation, if there is one: beside that of the run, even if the run was moved."""
    try:
        return load_study(storage_of(run.study), f"{run.spec.name}-confirm")
    except RunError:
        return None


def _possible(run: RunDirectory, top: int, seeds: int, epochs: int | None) -> Spec:
    """Return the spec of the confirmation, once it is clear that it can start or continue; nothing is written yet.

    Raises:
        InputError, RunError: As :func:`confirm`.
    """
    at_least(1, "top", top)
    at_least(2, "seeds", seeds)
    at_least(1, "epochs", epochs)
    quiet_optuna()
    Standing(run.study).best()  # raises where nothing was trained to the end
    spec = _spec_of(run, seeds, epochs)
    _same_length(run, spec)
    return spec


def _look(study: optuna.Study, networks: Sequence[Network], epochs: int) -> int:
    """The number of this look: higher by one than the last if the judged trainings, or what is claimed of them, differ
    from every earlier look's.

    What is left out of the judgement is no look: a sixth seed that one network lacks, a network that never ended. Other
    roles of the same trainings are one where they are compared with others then: after a longer search ``none`` may be
    a candidate.
    """
    seen: list[str] = list(study_attributes(study).confirmation_looks)
    shared = [one for one in on_common_seeds(networks) if one.scores]
    scores = sorted((one.hash, sorted(one.scores.items())) for one in shared)
    claims = sorted(
        (shared[one].hash, shared[other].hash) for one, other, _ in families([net.roles for net in shared])[0]
    )
    judged = _digest([epochs, scores, claims])
    if judged not in seen:
        by_seeds = json.dumps(sorted((one.hash, sorted(one.scores)) for one in networks))
        earlier = [form for form in (_digest([epochs, scores]), by_seeds) if form in seen]  # what was kept before
        if earlier:
            seen[seen.index(earlier[0])] = judged
        else:
            seen.append(judged)
        study.set_user_attr(LOOKS, seen)
    return seen.index(judged) + 1


def _digest(judged: list[object]) -> str:
    return hashlib.sha256(json.dumps(judged).encode()).hexdigest()[:16]


def _spec_of(run: RunDirectory, seeds: int, epochs: int | None) -> Spec:
    """Return the spec of a run's confirmation: one long rung."""
    spec = run.spec
    length = epochs or FULL * spec.proxy.rungs[-1]
    return spec_of_given(
        spec.changed(proxy=spec.proxy.changed(rungs=[length])),
        f"{spec.name}-confirm",
        seed=spec.search.seed + FRESH,
        max_seeds=seeds,
        storage=run.storage_seen_from(run.directory / CONFIRM),
        timeout=time_limit(spec, length),
        keep_checkpoints=1000,  # all: the test set is read from them
    )


def _same_length(run: RunDirectory, spec: Spec) -> None:
    """Check that an earlier confirmation of the run had the length of ``spec``.

    Raises:
        RunError: It had another length.
    """
    study, length = _confirmed(run), spec.proxy.rungs[-1]
    stored = study_attributes(study).spec if study is not None else None
    before = Spec.from_stored(dict(stored)).proxy.rungs[-1] if stored else length
    if before != length:
        delete = f"optuna delete-study --storage {redacted(run.storage_url)} --study-name {spec.name}"
        raise RunError(
            f"this run was confirmed with {plural(before, 'epoch')}, which cannot be compared with {length}: say "
            f"{asked_by(f'--epochs {before}', f'epochs={before}')}, or start over: remove "
            f"{run.directory / CONFIRM} and its study ({delete})"
        )


def _measured(study: optuna.Study, plan: Sequence[dict[str, Any]], chance: float) -> list[Network]:
    """Return the networks of the plan with their scores and failures by seed."""
    done: dict[str, dict[int, float]] = {}
    failed: dict[str, dict[int, str]] = {}
    trials = records(study)
    for record in trials:
        if record.seed is not None and record.outcome in FAILED:
            failed.setdefault(record.hash, {})[record.seed] = FAILED[record.outcome]
    for (key, seed), value in counted(trials, chance).items():
        done.setdefault(key, {})[seed] = value
    for record in once_per_seed(trials):
        if record.score is not None and record.seed is not None:
            failed.get(record.hash, {}).pop(record.seed, None)  # tried again, and it went well
    return [
        Network(
            hash=row["hash"], name=row["name"], roles=tuple(row["roles"]), search=row["search"],
            search_pooled=row["search_pooled"], search_seeds=row["search_seeds"],
            scores=dict(sorted(done.get(row["hash"], {}).items())), failures=failed.get(row["hash"], {}),
        )
        for row in plan
    ]  # fmt: skip

"""The only door to what Optuna and its dashboard do not document.

A new version may change any of it without notice: ``tests/study/test_optuna_door.py`` shows what broke.
"""

from __future__ import annotations

import copy
import json
import threading
import time
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import NOT_FOUND_MSG
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import select

from chattn_nas.stored import KEY
from chattn_nas.study.attributes import TrialAttributes

#: System attribute of a trial that was queued with its parameters.
FIXED = "fixed_params"
#: System attribute with all violations: the dashboard (0.21) reads only the list of older Optuna versions.
CONSTRAINTS = "constraints"


def cached(storage: RDBStorage) -> BaseStorage:
    """Wrap a database so that it is asked only for what may have changed, as ``optuna.load_study`` does."""
    return _CachedStorage(storage)


def locked(journal: JournalFileBackend) -> AbstractContextManager[None]:
    """Hold the lock that all writers of a journal file take."""
    return get_lock_file(journal._lock)


class ToldJournal(JournalStorage):
    """Optuna's journal, with an error of our own for lines that are JSON but make no sense.

    Args:
        backend: The backend, as for Optuna's class.
        nonsense: Makes the error, from the number of the line and the exception.
    """

    def __init__(self, backend: JournalFileBackend, nonsense: Callable[[int, Exception], Exception]) -> None:
        self._nonsense = nonsense
        super().__init__(backend)

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
            if NOT_FOUND_MSG in error.args:  # a question of ours
                raise
            raise self._nonsense(self._replay_result.log_number_read, error) from error


class ViewedStudy(optuna.Study):
    """A study whose samplers and pruners see the trials of :meth:`view`."""

    def view(self, states: Container[TrialState] | None, *, deepcopy: bool, use_cache: bool) -> list[FrozenTrial]:
        """The trials that samplers and pruners see: all of them, unless a subclass says otherwise."""
        return super()._get_trials(deepcopy, states, use_cache)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.view(states, deepcopy=deepcopy, use_cache=use_cache)


class FixedStudy(optuna.Study):
    """A study as it is now: all that is read of it belongs together, and asks the storage nothing.

    A search may go on while its report is written: a table that was read later knows networks that another lacks.
    """

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(study.study_name, study._storage)
        self._trials, self._attributes = study.get_trials(deepcopy=False), study.user_attrs

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes."""
        return self._attributes

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """The trials, in the order of their numbers."""
        trials = [trial for trial in self._trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def with_parameters(
    trial: FrozenTrial, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> FrozenTrial:
    """Copy a trial, with these parameters added to its own."""
    whole = copy.copy(trial)
    whole._distributions = {**distributions, **trial.distributions}
    whole._params = {**params, **trial.params}
    return whole


def random_states(sampler: BaseSampler) -> list[LazyRandomState]:
    """The random states of a sampler and its parts, in a fixed order, each once."""
    return _states(sampler, depth=4)


def _states(part: Any, depth: int) -> list[LazyRandomState]:
    if isinstance(part, LazyRandomState):
        return [part]
    if depth == 0 or not type(part).__module__.startswith("optuna.samplers"):
        return []
    states: dict[int, LazyRandomState] = {}
    parts = getattr(part, "__dict__", {})
    for name in sorted(parts):
        for state in _states(parts[name], depth - 1):
            states.setdefault(id(state), state)
    return list(states.values())


def reseed(states: Sequence[LazyRandomState], seeds: Sequence[int]) -> None:
    """Restart every random state from its seed."""
    for state, seed in zip(states, seeds, strict=True):
        state.rng.seed(seed)


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage of a study."""
    return study._storage


def id_of(trial: Trial | FrozenTrial) -> int:
    """The key of a trial in its storage."""
    return trial._trial_id


def study_id(study: optuna.Study) -> int:
    """The key of a study in its storage."""
    return study._study_id


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Every trial as it is now, by number; they belong to the storage and must not be changed."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def trials_by_number(study: optuna.Study) -> Mapping[int, FrozenTrial]:
    """Every trial by its number, if possible without going through those that ended earlier."""
    storage = study._storage
    if isinstance(storage, _CachedStorage):
        storage._read_trials_from_remote_storage(study._study_id)
        return storage._studies[study._study_id].trials
    return {trial.number: trial for trial in storage.get_all_trials(study._study_id, deepcopy=False)}


def trial_now(study: optuna.Study, trial: Trial | FrozenTrial | int) -> FrozenTrial:
    """One trial as it is now."""
    return study._storage.get_trial(trial if isinstance(trial, int) else trial._trial_id)


def is_queued(trial: FrozenTrial) -> bool:
    """Whether the trial was queued with its architecture, instead of getting one from the sampler."""
    return FIXED in trial.system_attrs


def queue_trial(study: optuna.Study, params: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Create a waiting trial with user attributes."""
    template = create_trial(
        state=TrialState.WAITING, user_attrs=_with_format(attributes), system_attrs={FIXED: dict(params)}
    )
    study._storage.create_new_trial(study._study_id, template_trial=template)


def _with_format(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {KEY: TrialAttributes.FORMAT, **attributes}


def new_trial(
    study: optuna.Study, system: Mapping[str, Any], params: Mapping[str, Any] | None, attributes: Mapping[str, Any]
) -> FrozenTrial:
    """Create a running trial, with a first heartbeat; without ``params`` the sampler decides."""
    fixed = {} if params is None else {FIXED: dict(params)}
    template = create_trial(
        state=TrialState.RUNNING, system_attrs={**system, **fixed}, user_attrs=_with_format(attributes)
    )
    key = study._storage.create_new_trial(study._study_id, template_trial=template)
    _first_sign_of_life(study, key)
    return study._storage.get_trial(key)


def running(study: optuna.Study, trial_id: int) -> Trial:
    """Prepare a trial for the sampler, with the newest results, as ``Study.ask`` does."""
    study._thread_local.cached_all_trials = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return Trial(study, trial_id)


def set_state(study: optuna.Study, trial_id: int, state: TrialState) -> bool:
    """Try to set a trial's state; of several processes that take a waiting trial, only one gets ``True``.

    The first heartbeat comes before the trial runs: an earlier worker's would make it look lost, and a remote worker
    that dies before its first heartbeat would never be missed.
    """
    try:
        if state is TrialState.RUNNING:
            _first_sign_of_life(study, trial_id)
        return study._storage.set_trial_state_values(trial_id, state)
    except UpdateFinishedTrialError:
        return False


def set_system(study: optuna.Study, trial_id: int, name: str, value: Any) -> None:
    """Set a system attribute of a trial."""
    study._storage.set_trial_system_attr(trial_id, name, value)


def set_user(study: optuna.Study, trial_id: int, name: str, value: Any) -> None:
    """Set a user attribute of a trial that this process does not run."""
    study._storage.set_trial_user_attr(trial_id, name, value)


def set_violation(study: optuna.Study, trial: Trial, cost: str, excess: float) -> None:
    """Record by how much a trial exceeds a bound, once."""
    if f"{CONSTRAINTS}:{cost}" not in trial_now(study, trial).system_attrs:
        trial.set_constraint(cost, excess)


def study_system(study: optuna.Study, name: str, otherwise: Any) -> Any:
    """A system attribute of the study."""
    return study._storage.get_study_system_attrs(study._study_id).get(name, otherwise)


def set_study_system(study: optuna.Study, name: str, value: Any) -> None:
    """Set a system attribute of the study."""
    study._storage.set_study_system_attr(study._study_id, name, value)


def _with_heartbeats(study: optuna.Study) -> BaseHeartbeat | None:
    """The study's storage, if it supports heartbeats."""
    storage = study._storage
    keeps = isinstance(storage, BaseHeartbeat) and storage.get_heartbeat_interval() is not None
    return storage if keeps else None  # type: ignore[return-value]


def silent_trials(study: optuna.Study) -> set[int]:
    """Keys of running trials without a recent heartbeat; none if the storage does not support heartbeats."""
    storage = _with_heartbeats(study)
    return set() if storage is None else set(storage._get_stale_trial_ids(study._study_id))


def _first_sign_of_life(study: optuna.Study, trial_id: int) -> None:
    """Record a first heartbeat: a trial without any is never found silent."""
    if (storage := _with_heartbeats(study)) is not None:
        storage.record_heartbeat(trial_id)


@contextmanager
def signs_of_life(study: optuna.Study, trial_id: int, timeout: float | None = None) -> Iterator[None]:
    """Record heartbeats while a trial runs that was just taken, but not beyond its timeout."""
    storage = _with_heartbeats(study)
    if storage is None:
        yield
        return
    interval = storage.get_heartbeat_interval()
    assert interval is not None
    over, since = threading.Event(), time.monotonic()

    def beat() -> None:
        while not over.wait(interval) and (timeout is None or time.monotonic() - since < timeout + interval):
            with suppress(Exception):  # a server that is away for a moment: the next sign may reach it
                storage.record_heartbeat(trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10)


def save_trial_note(study: optuna.Study, trial_id: int, text: str) -> None:
    """Save a note; ``optuna_dashboard.save_note`` reads all notes to write one, which takes seconds at 5,000 trials."""
    from optuna_dashboard._note import note_ver_key, split_body

    study._storage.set_study_system_attr(study._study_id, note_ver_key(trial_id), 1)
    for key, part in split_body(text, trial_id).items():
        study._storage.set_study_system_attr(study._study_id, key, part)


def trial_note(study: optuna.Study, trial_id: int) -> str:
    """The note of a trial, empty if it has none."""
    from optuna_dashboard._note import get_note_from_system_attrs

    attributes = study._storage.get_study_system_attrs(study._study_id)
    return str(get_note_from_system_attrs(attributes, trial_id)["body"])


class Database(RDBStorage):
    """Optuna's database storage, which reads a large study for the first time in a third of the time.

    Optuna lets SQLAlchemy make an object of every parameter and attribute, a million of them at 20,000 trials; here
    plain rows are read. Later reads, of the few trials that changed, are Optuna's own.
    """

    def _get_trials(
        self, study_id: int, states: Container[TrialState] | None, included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:  # fmt: skip
        if states is not None or included_trial_ids or trial_id_greater_than != -1:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        trial, value = models.TrialModel, models.TrialValueModel
        step, param = models.TrialIntermediateValueModel, models.TrialParamModel
        user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            every: Any = session.query(trial).filter(trial.study_id == study_id).order_by(trial.trial_id)
            frozen_trials: dict[int, FrozenTrial] = {
                row.trial_id: FrozenTrial(
                    number=row.number, state=row.state, value=None, datetime_start=row.datetime_start,
                    datetime_complete=row.datetime_complete, params={}, distributions={}, user_attrs={},
                    system_attrs={}, intermediate_values={}, trial_id=row.trial_id,
                )
                for row in every
            }  # fmt: skip

            def rows(model: Any, *columns: Any) -> Iterator[tuple[Any, ...]]:
                chosen = select(model.trial_id, *columns).join(trial, trial.trial_id == model.trial_id)
                for key, *row in session.execute(chosen.where(trial.study_id == study_id)):
                    if (frozen := frozen_trials.get(key)) is not None:  # not one that came in between
                        yield frozen, *row

            values: dict[int, dict[int, float]] = {}
            for frozen, objective, stored, kind in rows(value, value.objective, value.value, value.value_type):
                values.setdefault(frozen._trial_id, {})[objective] = value.stored_repr_to_value(stored, kind)
            for key, by_objective in values.items():
                frozen_trials[key]._values = [by_objective[objective] for objective in sorted(by_objective)]
            for frozen, at, stored, kind in rows(
                step, step.step, step.intermediate_value, step.intermediate_value_type
            ):
                frozen.intermediate_values[at] = step.stored_repr_to_intermediate_value(stored, kind)
            given = rows(param, param.param_id, param.param_name, param.param_value, param.distribution_json)
            for frozen, _, name, stored, text in sorted(given, key=itemgetter(1)):
                frozen._distributions[name], frozen._params[name] = _parameter(text, stored)
            for frozen, name, text in rows(user, user.key, user.value_json):
                frozen.user_attrs[name] = json.loads(text)
            for frozen, name, text in rows(system, system.key, system.value_json):
                frozen.system_attrs[name] = json.loads(text)
        return list(frozen_trials.values())


@lru_cache(maxsize=10_000)
def _parameter(text: str, stored: float) -> tuple[BaseDistribution, Any]:
    """A distribution, and the value that a stored number stands for in it."""
    distribution = _distribution(text)
    return distribution, distribution.to_external_repr(stored)


@lru_cache(maxsize=10_000)
def _distribution(text: str) -> BaseDistribution:
    """Parse a distribution; trials share one, since distributions are never changed."""
    return json_to_distribution(text)

"""What ``study/_optuna.py`` takes for granted of Optuna and its dashboard; a failure names what a version broke."""

import optuna
import optuna_dashboard
import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from chattn_nas.study import _optuna
from chattn_nas.study.history import history
from chattn_nas.study.journal import WholeLines
from chattn_nas.study.record import records
from chattn_nas.study.storage import open_storage

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(params=["sqlite:///{}/study.db", "journal://{}/study.log"])
def study(request, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(storage=open_storage(request.param.format(tmp_path)), study_name="door")
    yield made
    backend = getattr(_optuna.storage_of(made), "_backend", None)
    if hasattr(backend, "engine"):
        backend.remove_session()
        backend.engine.dispose()


def test_a_queued_trial_waits_with_its_parameters_and_one_process_takes_it(study) -> None:
    _optuna.queue_trial(study, {"x": 3}, {"label": "none"})
    (waiting,) = _optuna.all_trials(study)
    assert waiting.state is TrialState.WAITING
    assert _optuna.is_queued(waiting)
    assert _optuna.set_state(study, _optuna.id_of(waiting), TrialState.RUNNING)
    assert not _optuna.set_state(study, _optuna.id_of(waiting), TrialState.RUNNING), "the second one is told no"
    trial = _optuna.running(study, _optuna.id_of(waiting))
    assert trial.suggest_int("x", 0, 9) == 3
    study.tell(trial, 0.5)
    assert not _optuna.set_state(study, _optuna.id_of(waiting), TrialState.WAITING), "ended is ended"


def test_a_trial_that_runs_from_its_first_instant(study) -> None:
    new = _optuna.new_trial(study, {"owner": "me"}, None, {"seed": 1})
    assert (new.state, new.number, new.system_attrs["owner"], new.user_attrs["seed"]) == (
        TrialState.RUNNING,
        0,
        "me",
        1,
    )
    assert not _optuna.is_queued(new)
    trial = _optuna.running(study, _optuna.id_of(new))
    _optuna.set_violation(study, trial, "parameters", 0.5)
    _optuna.set_violation(study, trial, "parameters", 0.5)
    assert any(name.startswith(_optuna.CONSTRAINTS) for name in _optuna.trial_now(study, trial).system_attrs)


def test_trials_by_number_are_all_trials_whoever_made_them(study, tmp_path) -> None:
    for number in range(5):
        _optuna.queue_trial(study, {}, {})
        if number % 2:
            _optuna.set_state(study, _optuna.id_of(_optuna.all_trials(study)[number]), TrialState.FAIL)
        assert sorted(_optuna.trials_by_number(study)) == list(range(number + 1))
    known = history(study)
    assert sorted(known.open) == [0, 2, 4]
    assert [trial.number for trial in known.finished] == [1, 3]


@pytest.mark.parametrize("kind", [TPESampler, GPSampler, NSGAIISampler, RandomSampler])
def test_a_sampler_that_is_reseeded_draws_the_same(kind) -> None:
    drawn = []
    for _ in range(2):
        sampler = kind()
        made = optuna.create_study(sampler=sampler)
        states = _optuna.random_states(sampler)
        assert states
        _optuna.reseed(states, range(len(states)))
        made.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=12)
        drawn.append([trial.params["x"] for trial in made.trials])
    assert drawn[0] == drawn[1]


def test_samplers_and_pruners_see_what_a_study_shows(study) -> None:
    class OnlyTheFirst(_optuna.ViewedStudy):
        def view(self, states, *, deepcopy, use_cache):
            return super().view(states, deepcopy=deepcopy, use_cache=use_cache)[:1]

    class Looks(RandomSampler):
        def after_trial(self, study, trial, state, values):
            seen.append(len(study.get_trials(deepcopy=False)))

    seen: list[int] = []
    shown = OnlyTheFirst(study.study_name, _optuna.storage_of(study), Looks())
    shown.optimize(lambda trial: 1.0, n_trials=3)
    assert seen == [1, 1, 1]
    assert len(study.trials) == 3


def test_a_trial_with_more_parameters_than_its_own() -> None:
    made = optuna.create_trial(value=1.0, params={"x": 1}, distributions={"x": IntDistribution(0, 9)})
    whole = _optuna.with_parameters(made, {"x": 5, "y": 2}, {"x": IntDistribution(0, 5), "y": IntDistribution(0, 9)})
    assert whole.params == {"x": 1, "y": 2}
    assert whole.distributions["x"].high == 9
    assert made.params == {"x": 1}


def test_a_journal_has_one_lock_for_all_its_writers(tmp_path) -> None:
    journal = WholeLines(str(tmp_path / "study.log"))
    with _optuna.locked(journal):
        assert list(tmp_path.glob("study.log.lock*")), "Optuna's own lock file"
    assert not list(tmp_path.glob("study.log.lock*"))


def test_signs_of_life_are_kept_where_the_storage_keeps_them(study) -> None:
    new = _optuna.new_trial(study, {}, None, {})
    with _optuna.signs_of_life(study, _optuna.id_of(new)):
        assert _optuna.silent_trials(study) == set()


def test_a_note_is_the_one_that_the_dashboard_shows(study) -> None:
    new = _optuna.new_trial(study, {}, None, {})
    trial = _optuna.running(study, _optuna.id_of(new))
    text = "a note\n" * 1000
    _optuna.save_trial_note(study, _optuna.id_of(new), text)
    assert _optuna.trial_note(study, _optuna.id_of(new)) == text
    assert optuna_dashboard.get_note(trial) == text


@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
def test_the_first_look_at_a_database_reads_what_optuna_reads(tmp_path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    other = optuna.create_study(storage=storage, study_name="other")
    study = optuna.create_study(storage=storage, study_name="door", directions=["maximize", "minimize"])
    other.add_trial(optuna.trial.create_trial(value=1.0))
    for number in range(4):
        trial = study.ask()
        trial.suggest_categorical("b", ["x", None, 2])
        trial.suggest_float("a", 0, 1)
        trial.set_user_attr("measurement", {"rungs": [{"epoch": 2}], "n": number})
        if number < 2:
            study.tell(trial, [float("inf"), 0.5 + number])
    study.tell(2, state=TrialState.FAIL)
    single = optuna.create_study(storage=storage, study_name="one")
    reported = single.ask()
    reported.report(float("nan"), 2)
    reported.report(0.25, 6)
    _optuna.queue_trial(study, {"a": 0.5}, {"label": "none"})
    backend = storage._backend
    for one in (study, single, other):
        key = _optuna.study_id(one)
        mine = backend._get_trials(key, None, set(), -1)
        assert repr(mine) == repr(super(_optuna.Database, backend)._get_trials(key, None, set(), -1))
    backend.remove_session()
    backend.engine.dispose()


@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
def test_records_of_ended_trials_are_read_once_and_of_running_ones_anew(study) -> None:
    first, second = study.ask(), study.ask()
    study.tell(first, 0.5)
    before = records(study)
    second.set_user_attr("reason", "slow")
    after = records(study)
    assert after[0] is before[0]
    assert [one.reason for one in after] == ["", "slow"]
    study.tell(second, 0.25)
    assert [one.outcome for one in records(study)] == ["complete", "complete"]

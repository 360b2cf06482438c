"""The instants between two writes, in which a process may be killed or another may look."""

import errno
import os

import optuna
import pytest
import stub_trainer
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import text

from chattn_nas.errors import RunError, StorageError
from chattn_nas.proxy import Outcome
from chattn_nas.search import join, queue
from chattn_nas.search.claim import claim_seed
from chattn_nas.search.owner import is_dead, owner
from chattn_nas.search.session import enqueue_baselines
from chattn_nas.study import RunDirectory, storage
from chattn_nas.study.creation import STUDY
from chattn_nas.study.storage import open_storage
from chattn_nas.study.trials import ANSWERED, all_trials, counts, outcome

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def study():
    return optuna.create_study()


@pytest.fixture
def dead():
    """The name of a process of this machine that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    machine = owner().rsplit("/", 2)[0]
    os.waitpid(child, 0)
    return f"{machine}/{child}/1"


def frozen(study, trial):
    return study._storage.get_trial(trial._trial_id)


def test_a_dead_workers_trial_is_lost_and_a_living_ones_is_not(study, dead) -> None:
    gone, here = queue.add(study, 2, dead), queue.add(study, 2, owner())
    assert is_dead(dead)
    assert not is_dead(owner())
    assert [trial.number for trial in queue.lost(study)] == [gone.number] != [here.number]


def test_two_who_see_a_trial_lost_give_it_back_once(study, dead) -> None:
    queue.add(study, 1, dead)
    (seen,) = queue.lost(study)
    assert queue.lose(study, seen, Outcome.CRASHED, "gone", retries=1)
    taken = queue.take(study, 1, owner())
    assert not queue.lose(study, seen, Outcome.CRASHED, "gone", retries=1)
    assert queue.is_mine(study, taken._trial_id, owner())
    assert frozen(study, taken).system_attrs[queue.LOST] == 1


def test_a_trial_taken_anew_never_looks_like_the_old_workers(study, dead) -> None:
    trial = queue.add(study, 1, dead)
    queue.give_back(study, trial._trial_id)
    assert study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)  # taken, not yet named
    assert queue.lost(study) == []


def test_who_takes_a_trial_has_given_a_sign_of_life_before(tmp_path) -> None:
    """Else a worker elsewhere that dies at once is never missed, and one that takes up a lost trial is at once."""
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/study.db"))
    engine, elsewhere = study._storage._backend.engine, "another/1/1/1/1"

    def fall_silent() -> int:
        with engine.begin() as database:
            return database.execute(text("UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'")).rowcount

    trial = queue.add(study, 1, elsewhere)
    assert fall_silent() == 1
    (seen,) = queue.lost(study)
    assert queue.lose(study, seen, Outcome.CRASHED, "gone", retries=1)
    assert queue.take(study, 1, elsewhere)._trial_id == trial._trial_id
    assert queue.lost(study) == []
    assert fall_silent() == 1
    assert [one.number for one in queue.lost(study)] == [trial.number]


def test_more_losses_than_retries_end_it(study, dead) -> None:
    for _ in range(2):
        taken = queue.take(study, 1, dead)
        queue.lose(study, frozen(study, taken), Outcome.CRASHED, "gone", retries=1)
    assert outcome(frozen(study, taken)) == "crashed"
    assert queue.is_done(study, 1)


def test_a_trial_killed_while_it_was_answered_does_not_train_anothers_seed(study) -> None:
    first, second = study.ask(), study.ask()
    assert claim_seed(study, first, "net", first=0, most=1) == 0
    second.set_user_attr("value_source", ANSWERED)
    second.set_user_attr("hash", "net")
    second.set_user_attr("seed", 0)
    assert claim_seed(study, second, "net", first=0, most=1) is None


def test_a_trial_that_was_given_back_keeps_its_seed(study) -> None:
    trial = study.ask()
    assert claim_seed(study, trial, "net", first=3, most=2) == 3
    assert claim_seed(study, trial, "net", first=3, most=2) == 3


def during_training(monkeypatch, act):
    """Call ``act(trial number)`` in the fifth training."""
    real, calls = stub_trainer.StubTrainer.train, []

    def train(self, network, seed, report):
        calls.append(network)
        if len(calls) == 5:
            act(network)
        return real(self, network, seed, report)

    monkeypatch.setattr(stub_trainer.StubTrainer, "train", train)


def test_a_worker_that_was_taken_for_dead_leaves_the_trial_to_the_other(run_stub, make_spec, tmp_path, monkeypatch):
    def give_to_another(network) -> None:
        study = RunDirectory(tmp_path / "stub").study
        (running,) = [trial for trial in all_trials(study) if trial.state is TrialState.RUNNING]
        study._storage.set_trial_system_attr(running._trial_id, queue.OWNER, "elsewhere/1/1")
        study._storage.set_trial_user_attr(running._trial_id, "outcome", "complete")
        study._storage.set_trial_state_values(running._trial_id, TrialState.COMPLETE, [0.125])

    during_training(monkeypatch, give_to_another)
    trials = all_trials(run_stub(trials=8).study)
    assert [trial.number for trial in trials] == list(range(8))
    assert trials[4].values == [0.125], "the other's result stands"
    assert all(outcome(trial) == "complete" for trial in trials)


def test_a_storage_that_fails_is_not_the_trials_fault(run_stub, monkeypatch) -> None:
    """Its process lives, so that it is missed for its silence."""
    monkeypatch.setattr(storage, "HEARTBEAT", 1)
    monkeypatch.setattr(storage, "GRACE", 3)

    def fail(network) -> None:
        raise StorageInternalError("the disk is full")

    during_training(monkeypatch, fail)
    with pytest.raises(StorageError, match="the disk is full"):
        run_stub(trials=8)
    trials = all_trials(run_stub(trials=8).study)
    assert [outcome(trial) for trial in trials] == ["complete"] * 8


def test_a_full_disk_is_not_the_trials_fault(run_stub, monkeypatch) -> None:
    """Where weights, a cache or a file of the user's own part cannot be written; five such trials ended as crashed."""

    def fail(network) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "cache.npy")

    during_training(monkeypatch, fail)
    with pytest.raises(OSError, match=r"cache\.npy"):
        run_stub(trials=8)
    trials = all_trials(run_stub(trials=8).study)
    assert [outcome(trial) for trial in trials] == ["complete"] * 8
    assert not any(trial.system_attrs.get(queue.LOST) for trial in trials)


def test_a_worker_joins_from_another_folder_by_spec_and_storage(make_spec, tmp_path, monkeypatch) -> None:
    run = RunDirectory.create(make_spec(trials=6), tmp_path / "there")
    enqueue_baselines(run.study, run.spec.search_space())
    monkeypatch.chdir(tmp_path)
    join(make_spec(trials=99), storage=run.storage_url, trainer=stub_trainer.StubTrainer)
    assert sum(map(counts, all_trials(run.study))) == 6, "the asked number is the search's"
    with pytest.raises(RunError, match="storage"):
        join(make_spec(), trainer=stub_trainer.StubTrainer)
    with pytest.raises(RunError, match=r"another spec: search\.objectives differ"):
        join(make_spec(objectives=["accuracy", "macs"]), storage=run.storage_url, trainer=stub_trainer.StubTrainer)


def test_a_run_whose_study_was_never_made_is_made(make_spec, tmp_path) -> None:
    """The search was killed between the spec and the study, and between two attributes of the study."""
    RunDirectory.create(make_spec(), tmp_path / "run")
    (tmp_path / "run" / "study.db").unlink()
    (tmp_path / "run" / STUDY).unlink()  # what says that the study was made once
    again = RunDirectory.create(make_spec(), tmp_path / "run")
    assert again.study.user_attrs["spec_hash"] == make_spec().hash
    assert again.study.metric_names == ["accuracy"]

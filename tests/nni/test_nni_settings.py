"""What needs no NNI: its words are written and its configurations refused without it."""

import json
import multiprocessing
import time
from itertools import pairwise

import pytest
import yaml

from chattn_nas.cli import app
from chattn_nas.errors import InputError, MissingExtraError
from chattn_nas.search import search
from chattn_nas.search.devices import Slot
from chattn_nas.search.slot_lock import slot_of
from chattn_nas.spec import Spec


def test_without_nni_one_sentence_says_what_to_install(plain_spec, elsewhere, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "chattn-nas\[nni\]"') as caught:
        search(Spec.from_dict(plain_spec("missing")), progress=False)
    assert caught.value.exit_code == 2
    assert not (elsewhere / "runs").exists(), "nothing is begun"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": ["accuracy", "macs"]}, "one objective"),
        ({"training_service": {"platform": "local", "trial_gpu_number": 1}}, "without end"),
        ({"training_service": {"platform": "local", "trialGpuNumber": 1}}, "without end"),
        ({"training_service": {"platform": "remote"}}, "storage that its machines reach"),
        ({"nni_tuner": "pbt"}, "regularized_evolution"),
    ],
)
def test_what_cannot_work_is_refused(plain_spec, settings, message) -> None:
    with pytest.raises(InputError, match=message):
        Spec.from_dict(plain_spec("refused", **settings))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_nni_config_writes_what_nnictl_takes(plain_spec, elsewhere) -> None:
    from typer.testing import CliRunner

    (elsewhere / "spec.yaml").write_text(
        yaml.safe_dump(plain_spec("config", trials=12, nni_duration=90, nni_tuner="random"))
    )
    result = CliRunner().invoke(app, ["nni-config", "spec.yaml", "--out", "run"])
    assert result.exit_code == 0, result.output
    config = yaml.safe_load((elsewhere / "run" / "config.yml").read_text())
    assert config["searchSpaceFile"] == "search_space.json"
    assert config["maxTrialNumber"] == 8, "four baselines wait"
    assert config["maxExperimentDuration"] == "90s"
    assert config["trialConcurrency"] == 2
    assert config["trainingService"] == {"platform": "local"}
    assert config["tuner"] == {"name": "Random", "classArgs": {"seed": 4}}
    assert f"chattn_nas.search.nni.trial {elsewhere / 'run'}" in config["trialCommand"]
    assert "assessor" not in config
    assert "trialGpuNumber" not in config
    space = json.loads((elsewhere / "run" / "search_space.json").read_text())
    assert list(space) == ["stage1", "stage2", "stage3"]
    assert space["stage1"]["_value"][0] == {"_name": "none"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_machines_elsewhere_get_the_spec_and_a_command_of_their_own(plain_spec, elsewhere) -> None:
    from chattn_nas.search.nni.config import write_config

    machines = {"platform": "remote", "machine_list": [{"host": "192.0.2.1", "user": "me"}]}
    url = f"sqlite:///{elsewhere}/elsewhere.db"
    spec = Spec.from_dict(plain_spec("remote", training_service=machines, storage=url, workers=3))
    config = yaml.safe_load(write_config(spec, elsewhere / "run").read_text())
    assert config["trainingService"] == machines, "handed to NNI as it is"
    assert config["trialCommand"] == "python3 -m chattn_nas.search.nni.trial ."
    assert config["trialConcurrency"] == 3
    assert (elsewhere / "run" / "nni" / "code" / "spec.yaml").is_file()


def _hold(name: str, seconds: float, queue) -> None:
    with slot_of([Slot(0, "cpu", 1), Slot(1, "cpu", 1)], name) as slot:
        began = time.monotonic()
        time.sleep(seconds)
        queue.put((slot.index, began, time.monotonic()))


def test_a_slot_is_held_by_one_process_at_a_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_hold, args=("slots", 0.3, queue)) for _ in range(5)]
    for process in processes:
        process.start()
    held = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    for index in (0, 1):
        spans = sorted((began, ended) for slot, began, ended in held if slot == index)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert {slot for slot, _, _ in held} == {0, 1}


def test_a_process_that_is_killed_gives_its_slot_back(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_hold, args=("killed", 600, context.Queue()))
    process.start()
    while not list(tmp_path.glob("*/killed/slot-0.lock")):
        time.sleep(0.02)
    process.kill()
    process.join(60)
    with slot_of([Slot(0, "cpu", 1)], "killed") as slot:
        assert slot.index == 0

"""What ``search/nni/_nni.py`` takes for granted of NNI 3.0; a failure names what another version broke."""

import json
import os
import time

import pytest

pytest.importorskip("nni")

from chattn_nas.search.nni import _nni
from chattn_nas.search.nni.monitor import _free_port
from chattn_nas.search.nni.processes import end, marked
from chattn_nas.search.nni.protocol import MARK


def test_nni_looks_at_a_training_service() -> None:
    _nni.check_service({"platform": "local"})
    with pytest.raises(AttributeError, match="platform"):  # NNI makes no service of a platform that it does not know
        _nni.check_service({"platform": "nowhere"})


def until(what, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NNI leaves a socket open
def test_a_manager_starts_is_asked_and_stops(elsewhere, monkeypatch) -> None:
    mark = f"door-{os.getpid()}"
    monkeypatch.setenv(MARK, mark)
    space = elsewhere / "space.json"
    space.write_text(json.dumps({"x": {"_type": "choice", "_value": [1, 2, 3, 4]}}))
    manager = _nni.Manager(
        {
            "experimentName": "door", "searchSpaceFile": str(space), "trialCommand": "sleep 60",
            "trialCodeDirectory": str(elsewhere), "trialConcurrency": 1, "maxTrialNumber": 1,
            "experimentWorkingDirectory": str(elsewhere / "experiments"),
            "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize", "seed": 0}},
            "trainingService": {"platform": "local"},
        }
    )  # fmt: skip
    assert not manager.is_alive()
    try:
        pid = manager.start(_free_port())
        assert pid > 0
        assert manager.id
        assert manager.is_alive()
        until(manager.has_tuner)
        until(lambda: manager.open_trials() == 1)
        assert manager.status() not in (*_nni.FAILED, _nni.ENDED, _nni.EXHAUSTED)
        manager.teach([{"parameter": {"x": 2}, "value": 0.5}])
        manager.allow(2)
        manager.stop(30)
        until(lambda: not manager.is_alive())
    finally:
        end(mark)
    assert not marked(mark)

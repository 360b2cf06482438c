"""Ray on loopback; skipped where it is not installed."""

import importlib.util
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from chaos import Chaos

from chattn_nas.errors import MissingExtraError
from chattn_nas.search.pruning import passes
from chattn_nas.search.ray import _ray
from chattn_nas.study.record import records
from chattn_nas.study.trials import outcome

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.timeout(700),
]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture
def on_ray(tmp_path):
    """Search with engine ``ray`` in a process of its own, whose children end with it."""
    made = []

    def run(*command, faults=None, environment=None, **settings):
        chaos = Chaos(tmp_path / "ray", storage=None, engine="ray", workers=None, faults=faults, **settings)
        chaos.environment |= environment or {}
        chaos.environment["RAY_memory_monitor_refresh_ms"] = "0"  # it looks at the whole machine's memory
        chaos.start(command, start_new_session=True)
        made.append(chaos)
        return chaos

    yield run
    for chaos in made:
        with suppress(ProcessLookupError):
            os.killpg(chaos.driver.pid, signal.SIGKILL)
        chaos.close()


@needs_ray
@pytest.mark.slow
def test_a_node_is_lost_and_nothing_else(on_ray, tmp_path) -> None:
    """With the two trainings of three that it has; Ray looks for lost nodes every second instead of every three."""
    environment = {"STUB_WAITS_FOR": str(tmp_path / "wait" / "go"), "RAY_health_check_period_ms": "1000"}
    (tmp_path / "wait").mkdir()
    run = on_ray(str(HERE / "ray_cluster.py"), trials=9, seconds=0, environment=environment)
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    assert "one node is gone" in run.log.read_text()
    run.check()


@needs_ray
@pytest.mark.slow
def test_a_training_that_kills_its_process_is_begun_again_and_then_crashed(on_ray) -> None:
    """And of what every rung would stop a share goes on, as with every engine: the number of the trial draws it."""
    faults = {"random_gate | random_gate": "die"}
    run = on_ray(trials=8, seconds=0.1, retries=1, faults=faults, pruner="stub_trainer:StopsAll", pass_at_random=0.3,
                 keep_checkpoints=2)  # fmt: skip
    assert run.wait(300) == 0, run.log.read_text()[-3000:]
    ends = {trial.user_attrs.get("label"): outcome(trial) for trial in run.records()}
    assert ends["random_gate"] == "crashed"
    assert ends["none"] == "complete"
    assert run.ended() == 8
    assert len({path.name.split("-")[0] for path in (run.folder / "checkpoints").iterdir()}) == 2
    proposed = [one for one in records(run.study) if not one.label and one.trained]
    assert proposed
    assert {one.number: one.outcome for one in proposed} == {
        one.number: "complete" if passes(0, one.number, 0, 0.3) else "pruned" for one in proposed
    }


def test_without_ray_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(_ray.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"chattn-nas\[ray\]"):
        _ray.require_ray()

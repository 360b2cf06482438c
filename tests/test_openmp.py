"""How long threads spin for each other in the processes that we start."""

import pytest

from chattn_nas.openmp import SPIN, short_waits
from chattn_nas.search import supervisor
from chattn_nas.search.devices import Slot


@pytest.mark.parametrize(
    ("theirs", "handed"), [({}, SPIN), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_workers_wait_briefly_unless_the_user_said_how(theirs, handed, tmp_path, monkeypatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    started = []
    monkeypatch.setattr(supervisor, "start_group", lambda command, output, environment: started.append(environment))
    supervisor.Worker(Slot(0, "cpu", 2), tmp_path, None, propose=True)
    assert started[0].get("GOMP_SPINCOUNT") == handed
    assert started[0]["OMP_NUM_THREADS"] == "2"
    assert bool(short_waits()) == (not theirs)

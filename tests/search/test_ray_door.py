"""What ``search/ray/_ray.py`` takes for granted of Ray; a failure names what another version broke."""

import time

import pytest

pytest.importorskip("ray")

from chattn_nas.errors import InputError, RunError
from chattn_nas.search.ray import _ray

pytestmark = pytest.mark.timeout(300)


class Counter:
    def __init__(self) -> None:
        self.count = 0

    async def add(self, more: int) -> int:
        self.count += more
        return self.count


def twice(number: int) -> int:
    if number < 0:
        raise InputError("a negative number")
    return 2 * number


def nap(seconds: float) -> None:
    time.sleep(seconds)


def test_there_is_no_cluster_at_the_address(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RunError, match=r"there is no Ray cluster at 127\.0\.0\.1:1"):
        _ray.connect()


@pytest.mark.slow
def test_a_cluster_of_this_machine(monkeypatch) -> None:
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert _ray.connect()
    try:
        assert not _ray.connect(), "it is connected"
        assert _ray.room_for({"num_cpus": 1.0, "num_gpus": 0.0}) >= 1
        assert isinstance(_ray.has_gpus(), bool)
        remote = _ray.task(twice, {"num_cpus": 1.0}, retries=0)
        started = remote.remote(4)
        while started not in _ray.ready([started], 0.5):
            pass
        assert _ray.result_of(started) == 8
        with pytest.raises(InputError, match="a negative number"):
            _ray.result_of(remote.remote(-1))
        counter = _ray.actor_here(Counter)
        assert [_ray.result_of(counter.add.remote(2)) for _ in range(2)] == [2, 4]
        slow = _ray.task(nap, {"num_cpus": 1.0}, retries=0).remote(60)
        _ray.cancel(slow)
    finally:
        _ray.disconnect()

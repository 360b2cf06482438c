"""One voice for the processes of torchrun: who waits with an error, and for how long."""

import logging
import os
import time

import pytest

from chattn_nas.cli import _app
from chattn_nas.errors import InputError, ProcessLost


@pytest.fixture
def waited(monkeypatch):
    """Seconds that were slept."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.mark.parametrize(
    ("environment", "kind", "patience"),
    [
        ({}, InputError, 0),
        ({"RANK": "1", "WORLD_SIZE": "2"}, InputError, 0),  # a batch system's, which ends nobody
        ({"RANK": "0", "TORCHELASTIC_RUN_ID": "x"}, InputError, 0),
        ({"RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, InputError, _app.PATIENCE),
        # Whoever has ended told why, later than the first one would.
        ({"RANK": "0", "TORCHELASTIC_RUN_ID": "x"}, ProcessLost, 3 * _app.PATIENCE),
        ({"RANK": "1", "TORCHELASTIC_RUN_ID": "x"}, ProcessLost, 3 * _app.PATIENCE),
    ],
)
def test_who_waits_with_an_error(monkeypatch, waited, environment, kind, patience) -> None:
    for name in ("RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _app._leave_to_others(kind("told"))
    assert sum(waited) == patience


@pytest.mark.parametrize("rank", [0, 1])
def test_whom_torchrun_ends_meanwhile_says_nothing(monkeypatch, invoke, rank) -> None:
    def ended(seconds: float) -> None:
        os.kill(os.getpid(), 15)

    monkeypatch.setattr(time, "sleep", ended)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", str(rank))
    out, error = invoke("one-shot", "nowhere.yaml", code=2)
    assert ("nowhere.yaml" in error) == (rank == 0)
    assert out == "" or rank == 0
    assert logging.root.manager.disable == logging.NOTSET  # whoever calls a command keeps his log

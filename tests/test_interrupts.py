import os
import signal
import time
from pathlib import Path

import pytest

from chattn_nas.export.output import OutputFolder
from chattn_nas.interrupts import SIGNALS, as_interrupt


@pytest.fixture(autouse=True)
def _heard():
    """As in a terminal: what starts the tests may ignore signals, as nohup does."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in SIGNALS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def _end_by(one: signal.Signals, file: Path | None = None) -> None:
    if file is not None:
        file.write_text("half")
    os.kill(os.getpid(), one)
    time.sleep(60)  # the handler runs at once


@pytest.mark.parametrize("one", SIGNALS)
def test_a_signal_that_ends_is_an_interrupt_and_leaves_nothing_half_written(tmp_path, one) -> None:
    before = signal.getsignal(one)
    with pytest.raises(KeyboardInterrupt), as_interrupt(), OutputFolder(tmp_path / "new").staging() as folder:
        _end_by(one, folder / "model.py")
    assert signal.getsignal(one) == before
    assert not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("one", SIGNALS)
def test_a_command_that_is_ended_says_so_with_exit_code_130(monkeypatch, capsys, one) -> None:
    from chattn_nas.cli import _app

    monkeypatch.setattr("sys.argv", ["chattn-nas", "evaluate", "network", "--data", "quickstart"])
    monkeypatch.setattr("chattn_nas.export.folder.open_folder", lambda path: _end_by(one))
    monkeypatch.setattr("chattn_nas.export.open_folder", lambda path: _end_by(one), raising=False)
    with pytest.raises(SystemExit) as ended:
        _app.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Stopped.\n"

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chattn_nas.export.output import OutputFolder
from chattn_nas.interrupts import SIGNALS, as_interrupt


@pytest.fixture(autouse=True)
def _heard():
    """As in a terminal: what starts the tests may ignore signals, as nohup does, or a shell for background commands."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in SIGNALS}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
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


SERVER = """
import time
from chattn_nas.interrupts import as_interrupt, at_once
with as_interrupt():
    at_once()
    print("ready", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:  # as wsgiref does in a request
            print("goes on", flush=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, *SIGNALS])
def test_a_server_ends_at_once_even_inside_a_request(sent) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            server.send_signal(sent)
            said = server.communicate(timeout=60)
        finally:
            server.kill()
    assert (server.returncode, said) == (130, ("", ""))


def test_an_interrupt_in_a_destructor_is_not_lost() -> None:
    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)  # the handler runs at once, and Python drops what it raises

    def work() -> None:
        Interrupted()
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt), as_interrupt():
        work()


@pytest.mark.parametrize("passed_through", ["raise KeyboardInterrupt", "exec('raise KeyboardInterrupt')"])
def test_an_interrupt_during_the_imports_says_nothing_and_ends_with_130(tmp_path, passed_through) -> None:
    (tmp_path / "typer.py").write_text(passed_through)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-m", "chattn_nas", "--help"], env=os.environ | {"PYTHONPATH": path}, capture_output=True
    )
    assert (ended.returncode, ended.stderr) == (130, b"")

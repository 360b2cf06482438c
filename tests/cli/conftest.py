"""Commands, run in this process: importing torch takes seconds."""

import sys

import pytest

from chattn_nas.cli import main


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Run a command to its exit code; what it printed on stdout and on stderr."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["chattn-nas", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + error
        return out, error

    return run

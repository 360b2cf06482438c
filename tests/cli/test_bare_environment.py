"""Every command, for a user without name and home, on a terminal that knows only ASCII."""

import io
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chattn_nas.cli import _app
from chattn_nas.data.cache import default_folder

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = FIXTURES / "run_v1.yaml"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """No HOME, no entry for this user; a command's exit code and what it prints, on an ASCII terminal."""
    for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "CHATTN_NAS_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(_app.console, "_file", streams[0], raising=False)
        monkeypatch.setattr(sys, "argv", ["chattn-nas", *map(str, words)])
        try:
            _app.main()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        said = [stream.buffer.getvalue().decode("ascii") for stream in streams]
        return code, said[0], said[1]

    return run


def test_the_cache_lies_among_temporary_files_where_there_is_no_home(bare, tmp_path) -> None:
    assert default_folder().is_relative_to(tmp_path / "temporary")
    code, _, said = bare("data", "nothing.yaml")
    assert code == 2
    assert "cannot read the spec" in said


def test_names_in_any_script_work_where_python_would_read_them_as_ascii(tmp_path) -> None:
    """Each was refused as "no UTF-8 text"."""
    shutil.copytree(FIXTURES / "run_v1", tmp_path / "größe-日本")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "chattn_nas", "report", "größe-日本", "--format", "md"],
        cwd=tmp_path, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii").rstrip().endswith("Report: gr??e-??/report.md")
    assert (tmp_path / "größe-日本" / "report.md").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("--version",), ("attentions",), ("space", SPEC), ("data", SPEC), ("doctor",), ("schema",),
        ("init", "--data", "digits"), ("trials", "run_v1"), ("trials", "run_v1", "--wide"),
        ("leaderboard", "run_v1"), ("effects", "run_v1"), ("report", "run_v1"), ("report", "run_v1", "--format", "md"),
        ("compare", "run_v1", "run_v1"), ("confirm", "run_v1", "--plan", "--seeds", "2", "--epochs", "1"),
        ("search", SPEC, "--run", "run_v1", "--trials", "7", "--workers", "0"), ("train", "run_v1"),
        ("export", "run_v1", "--out", "network", "--format", "safetensors"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])).replace(str(FIXTURES), ""),
)  # fmt: skip
def test_every_command_says_what_it_says_elsewhere(bare, tmp_path, words) -> None:
    shutil.copytree(FIXTURES / "run_v1", tmp_path / "run_v1")
    code, said, told = bare(*words)
    assert code == 0, told
    assert said.strip()
    if words[0] == "schema":
        json.loads(said)

"""Commands on a disk that can only be read, while ``/dev/shm`` is full: in a mount namespace of their own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"
MOUNTS = """
set -e
mount -t tmpfs -o size=4k tmpfs /dev/shm
head -c 4096 /dev/zero > /dev/shm/full
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
shift
exec "$@"
"""
DRIVER = """
import contextlib, io, json, sys
from chattn_nas.cli import _app
for words in json.loads(sys.argv[1]):
    sys.argv = ["chattn-nas", *words]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _app.main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="a read-only disk: there is no unshare here")
def test_what_works_on_a_read_only_disk_and_without_shared_memory(tmp_path) -> None:
    for name in ("disk", "here"):
        (tmp_path / name).mkdir()
        shutil.copytree(FIXTURES / "run_v1", tmp_path / name / "run_v1")
    spec, held = str(FIXTURES / "run_v1.yaml"), str(tmp_path / "disk" / "run_v1")
    commands = [
        ("trials", held, "--json"),
        ("leaderboard", held, "--json"),
        ("effects", held, "--json"),
        ("report", held),
        ("export", held, "--out", "network", "--format", "safetensors"),
        ("search", spec, "--run", held, "--trials", "7", "--workers", "0", "--no-plan"),
        ("search", spec, "--run", "run_v1", "--trials", "7", "--workers", "0", "--no-plan"),
    ]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNTS, "sh", str(tmp_path / "disk"), sys.executable, "-c", DRIVER,
         json.dumps(commands)], cwd=tmp_path / "here", capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("a read-only disk: mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    *reading, refused, searched = map(json.loads, done.stdout.splitlines())
    assert [code for code, _, _ in reading] == [0] * 5, reading
    assert (tmp_path / "here" / "run_v1-report.html").is_file()
    assert (tmp_path / "here" / "network" / "weights.safetensors").is_file()
    code, _, said = refused
    assert code == 2
    assert "cannot be written: Read-only file system" in said.splitlines()[-1]
    assert searched[0] == 0, searched

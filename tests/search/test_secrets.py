"""A password of a storage is in no file, no page, no API and no log of a run."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from postgres_server import Server, binary

from chattn_nas.credentials import PASSWORD

SECRET = "a5e-very-secret-w0rd"
SPEC = """
name: secret
backbone: {{model: cifar_resnet8, options: {{width: 8}}}}
data: {{dataset: digits, image_size: 8}}
space: {{all: [none, se]}}
proxy: {{rungs: [1], device: cpu}}
search: {{sampler: random, trials: 4, workers: 1, storage: '{url}'}}
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A server that asks for the password."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if binary("initdb") is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    server = Server(tmp_path_factory.mktemp("postgres"))
    server.start()
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"ALTER USER chattn PASSWORD '{SECRET}'")
    rules = server.data / "pg_hba.conf"
    rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    server._call("pg_ctl", "reload")
    yield server.url.replace("chattn@", f"chattn:{SECRET}@")
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    server.stop()


def command(*arguments, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "CHATTN_NAS_S"))}
    return subprocess.run(
        [sys.executable, "-m", "chattn_nas", *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
        env=clean | environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_whole_run_its_report_the_dashboard_and_the_logs_hold_no_secret(url, tmp_path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(url=url))
    done = command("search", spec, "--run", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [done.stdout, done.stderr]
    refused = command("report", tmp_path / "run", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    without = command("report", tmp_path / "run", "--trust", cwd=tmp_path)
    assert without.returncode == 2, "nobody has told this process the password"
    assert "password" in without.stderr
    said += [refused.stderr, without.stderr]
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{SECRET}\n")
    passfile.chmod(0o600)
    for environment in ({PASSWORD: SECRET}, {"PGPASSWORD": SECRET}, {"PGPASSFILE": str(passfile)}):
        done = command("report", tmp_path / "run", "--trust", "--format", "md", cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
        said += [done.stdout, done.stderr]
    done = command("report", tmp_path / "run", "--trust", cwd=tmp_path, **{PASSWORD: SECRET})
    assert done.returncode == 0, done.stderr
    wrong = command("trials", tmp_path / "run", "--trust", cwd=tmp_path, **{PASSWORD: f"{SECRET}-wrong"})
    assert wrong.returncode == 2
    said += [wrong.stdout, wrong.stderr, *_dashboard(tmp_path)]
    assert SECRET not in "".join(said)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"spec.yaml", "report.html", "report.md", "worker-0.log"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def _dashboard(folder: Path) -> list[str]:
    """All that the dashboard's API tells of the study."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "chattn_nas", "dashboard", str(folder / "run"), "--trust", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {PASSWORD: SECRET}, cwd=folder,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=10) as answer:
                    studies = answer.read().decode()
                    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.3)
        found = [studies]
        for study in json.loads(studies)["study_summaries"]:
            for path in (f"studies/{study['study_id']}?after=0", "meta"):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=30) as answer:
                    found.append(answer.read().decode())
        assert any("spec" in one for one in found)
        return found
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_an_engines_passwords_are_not_written_either(tmp_path) -> None:
    from chattn_nas.spec import load_spec
    from chattn_nas.study import RunDirectory

    spec = tmp_path / "spec.yaml"
    text = SPEC.format(url=f"sqlite:///{tmp_path}/study.db")
    engine = f"search: {{engine: nni, training_service: {{platform: remote, machineList: [{{password: {SECRET}}}]}}, "
    spec.write_text(text.replace("search: {", engine))
    run = RunDirectory.create(load_spec(spec), tmp_path / "run")
    assert SECRET not in (run.directory / "spec.yaml").read_text() + json.dumps(run.study.user_attrs)

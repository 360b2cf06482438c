"""The main job as a user does it: the real command in subprocesses, killed and resumed on the way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SPEC = """\
name: tiny
backbone: {model: cifar_resnet8, options: {width: 8}}
data: {dataset: digits, image_size: 8}
space:
  all:
    - none
    - se: {reduction: [2, 4]}
    - eca: {gamma: [1, 2]}
proxy: {rungs: [1, 2], batch_size: 128, device: cpu}
search: {trials: 8, seed: 3, sampler: random}
"""
COMMAND = [sys.executable, "-m", "chattn_nas"]


def chattn_nas(*arguments: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def records(folder: Path) -> list[dict]:
    return json.loads(chattn_nas("trials", "tiny", "--json", cwd=folder))


@pytest.fixture(scope="module")
def run(folder) -> Path:
    """A search that was killed hard after its first trials, resumed, and finished."""
    with (folder / "log").open("w") as log:
        first = subprocess.Popen(
            [*COMMAND, "search", "spec.yaml"], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 120
    while (folder / "log").read_text().count("complete") < 2 and time.monotonic() < deadline:
        assert first.poll() is None, (folder / "log").read_text()
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    finished = {row["number"] for row in records(folder) if row["outcome"] == "complete"}
    assert 2 <= len(finished) < 8
    chattn_nas("search", "spec.yaml", cwd=folder)
    assert finished <= {row["number"] for row in records(folder) if row["outcome"] == "complete"}
    return folder / "runs" / "tiny"


def test_resuming_finishes_what_was_asked_and_loses_nothing(folder, run) -> None:
    rows = records(folder)
    ended = [row for row in rows if row["outcome"] in ("complete", "pruned")]
    assert len(ended) == 8
    assert {"none", "uniform se", "uniform eca", "random_gate"} <= {row["label"] for row in ended}
    trained = [(row["hash"], row["seed"]) for row in ended]
    assert len(set(trained)) == len(trained), "no architecture was trained twice on one seed"
    before = len(rows)
    chattn_nas("search", "spec.yaml", cwd=folder)
    assert len(records(folder)) == before, "the asked number was reached: nothing more is trained"
    for name in ("spec.yaml", "study.db", "trials.csv"):
        assert (run / name).stat().st_size > 0


def test_a_spec_that_makes_old_trials_incomparable_is_refused(folder, run) -> None:
    (folder / "other.yaml").write_text(SPEC.replace("image_size: 8", "image_size: 12"))
    message = chattn_nas("search", "other.yaml", cwd=folder, code=2)
    assert "data.image_size" in message
    assert "--name" in message
    assert "Traceback" not in message


def test_dashboard_answers_with_the_trials(folder, run) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([*COMMAND, "dashboard", "tiny", "--port", str(port)], cwd=folder, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        body = _get(f"http://127.0.0.1:{port}/api/studies")
        study = body["study_summaries"][0]["study_id"]
        detail = _get(f"http://127.0.0.1:{port}/api/studies/{study}?after=0")
        assert len(detail["trials"]) >= 8
        complete = next(trial for trial in detail["trials"] if trial["state"] == "Complete")
        assert {"architecture", "outcome"} <= {attribute["key"] for attribute in complete["user_attrs"]}
        assert len(complete["intermediate_values"]) == 2, "accuracy per rung"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _get(url: str) -> dict:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < deadline, f"{url} never answered"
            time.sleep(0.3)


def test_report_is_one_offline_page(folder, run) -> None:
    chattn_nas("report", "tiny", cwd=folder)
    page = (run / "report.html").read_text()
    assert "unconfirmed" in page
    assert 'src="http' not in page
    assert 'href="http' not in page.split("<body")[0]


def test_exported_network_runs_where_only_torch_is(folder, run) -> None:
    printed = chattn_nas("export", "tiny", "--out", "network", cwd=folder)
    assert "difference" in printed
    out = folder / "network"
    for name in ("model.py", "weights.safetensors", "weights.pt", "architecture.yaml", "README.md"):
        assert (out / name).stat().st_size > 0
    load = (
        "import sys\n"
        "for name in ('timm', 'optuna', 'chattn_nas', 'safetensors'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(out)!r})\n"
        "import torch, model\n"
        "network = model.load().eval()\n"
        "print(tuple(network(torch.zeros(3, 1, 8, 8)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", load], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "(3, 10)", done.stderr
    done = subprocess.run([sys.executable, "model.py"], cwd=out, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_python_api_is_four_lines(folder, run, monkeypatch) -> None:
    from chattn_nas import export, load_spec, search

    monkeypatch.chdir(folder)
    found = search(load_spec("spec.yaml"))
    assert len(found.trials()) >= 8
    report = export(found.best(), folder / "by-api")
    assert report.max_difference <= 1e-5

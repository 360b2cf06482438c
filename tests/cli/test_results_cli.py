"""The commands on a small real run, as a user types them."""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from chattn_nas import Run
from chattn_nas.judging import confirmation
from chattn_nas.search import search
from chattn_nas.spec import Spec

SPEC = {
    "name": "small",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", {"se": {"reduction": [2, 4]}}, "eca"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {"trials": 7, "workers": 0, "sampler": "random", "objectives": ["accuracy", "macs"]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    directory = tmp_path_factory.mktemp("run") / "small"
    return Run(search(Spec.from_dict(SPEC), run=directory, progress=False).directory)


@pytest.fixture
def said(invoke):
    """What a command prints; on stderr where it is to fail."""
    return lambda *arguments, code=0: invoke(*arguments, code=code)[code != 0]


def test_what_a_run_names_is_not_imported_by_commands_that_read(run, said, tmp_path):
    theirs = tmp_path / "theirs"
    # Not shutil: this process holds the study open, and loses SQLite's locks with any copy of the file that it closes.
    subprocess.run(["cp", "-r", run.directory, theirs], check=True)
    (theirs / "planted.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n")
    (theirs / ".path").write_text(json.dumps([str(theirs)]))
    spec = yaml.safe_load((theirs / "spec.yaml").read_text())
    for task in ({"type": "planted:Task", "key": 1}, {"type": "segmentation"}):
        (theirs / "spec.yaml").write_text(yaml.safe_dump(spec | {"task": task, "imports": ["planted"]}))
        for command in ("trials", "leaderboard", "effects", "report"):
            said(command, theirs)
        said("compare", theirs, run.directory, "--out", tmp_path / "compare.html")
    assert not (tmp_path / "imported").exists()


def test_tables_for_people_and_for_machines(run, said, tmp_path):
    assert "none" in said("leaderboard", run.directory)
    wide = said("trials", run.directory, "--wide").splitlines()
    assert all(name in wide[1] for name in ("outcome", "architecture", "parameters", "seconds")), wide
    assert any("se(reduction=4)" in line for line in wide)
    rows = json.loads(said("leaderboard", run.directory, "--by", "mean", "--where", "label~uniform", "--json"))
    assert {row["label"] for row in rows} == {"uniform se", "uniform eca"}
    effects = json.loads(said("effects", run.directory, "--json"))
    assert {row["stage"] for row in effects} == {1, 2, 3}
    said("trials", run.directory, "--csv", tmp_path / "trials.csv")
    assert len(pd.read_csv(tmp_path / "trials.csv")) == len(run.study.trials)
    assert "did you mean 'pooled'" in said("leaderboard", run.directory, "--by", "poold", code=2)


def test_the_report_as_markdown_weighs_both_objectives(run, said):
    out = said("report", run.directory, "--format", "md")
    text = (run.directory / "report.md").read_text()
    assert "report.md" in out
    assert "The search weighed accuracy and macs" in text
    assert "possible: html, md" in said("report", run.directory, "--format", "pdf", code=2)


@pytest.mark.slow
def test_a_confirmation_that_is_killed_goes_on(run, said):
    arguments = ("confirm", run.directory, "--top", 1, "--seeds", 2, "--epochs", 30)
    with subprocess.Popen(
        [sys.executable, "-m", "chattn_nas", *map(str, arguments), "--workers", "1"], start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as first:  # fmt: skip
        said_before = next((line for line in first.stdout if " complete: " in line), None)
        os.killpg(first.pid, signal.SIGKILL)
    assert said_before is not None, "it ended without a training"
    kept = {trial.number: trial.value for trial in Run(run.directory / "confirm").study.trials if trial.value}
    found = json.loads(said(*arguments, "--workers", 0, "--json"))
    assert all(one["seeds"] == 2 for one in found["networks"])
    again = {trial.number: trial.value for trial in Run(run.directory / "confirm").study.trials}
    assert {number: again[number] for number in kept} == kept, "what was there stayed"
    stored = confirmation(Run(run.directory).study)
    assert stored is not None
    told = {one["hash"]: one["scores"] for one in found["networks"]}
    assert told == {one.hash: {str(seed): score for seed, score in one.scores.items()} for one in stored.networks}
    assert found["headline"] == stored.headline
    assert found["test"] == {
        key: {seed: 100 * score for seed, score in scores.items()} for key, scores in stored.test.items()
    }
    assert len(found["test"]) == 2
    out = said(*arguments)
    assert "sign" in out
    assert "images), read once" in out
    assert "confirmed verdict</p>" in (run.directory / "report.html").read_text()
    assert "confirmed with 30 epochs" in said("confirm", run.directory, "--epochs", 3, code=2)


def test_calibrate_prints_a_verdict(run, said, tmp_path):
    spec = run.directory / "spec.yaml"
    options = ("--run", tmp_path / "c", "--architectures", 4, "--full-epochs", 2, "--workers", 0, "--epochs", 1)
    assert "two full trainings" in said("calibrate", spec, *options)
    found = json.loads(said("calibrate", spec, *options, "--json"))
    assert found["tried"][0]["fidelity"]["rungs"] == [1]
    assert "list of numbers" in said("calibrate", spec, "--epochs", "one", code=2)


def test_notebook_shows_tables_and_a_picture(run):
    page = run._repr_html_()
    assert "<table>" in page
    assert "<script" not in page
    best = run.best()._repr_html_()
    assert best.count('class="stage"') == 3
    assert "of the backbone without attention" in best


def test_no_effects_yet_is_said(run, said, monkeypatch):
    monkeypatch.setattr("chattn_nas.results.stages", lambda study: pd.DataFrame())
    assert "No effects yet" in said("effects", run.directory)

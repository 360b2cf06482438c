"""A finished run of version 0.1.0, as it lay on disk on 2026-11-25, opens, reports, resumes and exports.

Made by, with torch 2.14.1, timm 1.0.31 and Optuna 5, on ``tests/fixtures/run_v1.yaml``::

    chattn-nas search run_v1.yaml --run run_v1
    chattn-nas confirm run_v1 --top 1 --seeds 2 --epochs 1 --workers 0
    chattn-nas train run_v1
    chattn-nas export run_v1 --out run_v1_export
"""

import shlex
import shutil
from pathlib import Path

import pytest

from chattn_nas.api import Run, export, search
from chattn_nas.judging import confirmation
from chattn_nas.report import markdown
from chattn_nas.report.facts import gather
from chattn_nas.report.summary import next_steps
from chattn_nas.spec import load_spec

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def run(tmp_path) -> Run:
    """A copy of the old run."""
    shutil.copytree(FIXTURES / "run_v1", tmp_path / "run_v1")
    return Run(tmp_path / "run_v1")


def test_trials_are_read(run):
    trials = run.trials()
    assert len(trials) == 6
    assert set(trials["outcome"]) <= {"complete", "pruned", "infeasible"}
    assert trials.loc[trials["outcome"] == "complete", "accuracy"].notna().all()


def test_confirmation_and_final_training_are_known(run):
    found = confirmation(run.study)
    assert found is not None
    assert found.epochs == 1
    assert all(len(one.scores) == 2 for one in found.networks)
    assert "weights of a training of 2 epochs" in run.best().card().origin


def test_report_tells_of_all_of_it(run):
    text = markdown(run.study)
    assert "**Retrained** on" in text
    assert "## Final training" in text
    assert "6 trials" in text
    taken_home = next_steps(gather(run.study, run.directory))[0][0]
    assert taken_home == f"chattn-nas export {shlex.quote(str(run.directory))} --out network", "it was trained already"


def test_resumes(run):
    before = len(run.trials())
    more = search(load_spec(FIXTURES / "run_v1.yaml"), run=run.directory, trials=before + 1, workers=0, progress=False)
    after = more.trials()
    assert len(after) > before
    assert after["outcome"].iloc[before:].isin(["complete", "pruned", "infeasible"]).all()


def test_its_finished_training_is_taken_as_it_is(run):
    files = [path for path in run.directory.glob("training/*/*") if path.suffix == ".safetensors"]
    before = {path: path.read_bytes() for path in files}
    assert before
    found = run.best().train()
    assert found.plan["epochs"] == 2
    assert 0 < found.test_score < 1
    assert {path: path.read_bytes() for path in files} == before, "nothing was trained"


def test_exports_the_trained_weights(run, tmp_path):
    written = export(run.best(), tmp_path / "network", ("source",))
    assert (written.folder / "model.py").is_file()
    assert max(written.differences.values()) < 1e-4

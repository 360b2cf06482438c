"""The process in which exports are proved: clean for every proof, and no file takes it away for good."""

from __future__ import annotations

import pytest
import torch

from chattn_nas.errors import ExportError
from chattn_nas.export import clean_process
from chattn_nas.export.clean_process import CleanProcess

MODEL = """
import sys
import torch
assert "seen" not in sys.modules  # another proof's
sys.modules["seen"] = sys
def load():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
"""


@pytest.fixture(scope="module")
def clean():
    process = CleanProcess()
    yield process
    process.close()


def _ask(clean, tmp_path, text):
    (tmp_path / "model.py").write_text(text)
    return clean.run(tmp_path / "model.py", images=torch.zeros(2, 1, 2, 2))


def test_every_proof_starts_clean(clean, tmp_path):
    for _ in range(2):
        answers = _ask(clean, tmp_path, MODEL)
        assert answers["evaluation.0"].shape == (2, 2)
        assert "state.1.weight" in answers


@pytest.mark.parametrize("name", ["timm", "chattn_nas", "optuna", "PIL"])
def test_only_torch_can_be_imported(clean, tmp_path, name):
    with pytest.raises(ExportError, match=rf"model\.py fails in a clean interpreter.*{name} is blocked"):
        _ask(clean, tmp_path, f"import {name}\n{MODEL}")


def test_a_file_that_ends_its_process_is_told_of(clean, tmp_path):
    for text in ("import os\nos._exit(3)\n", "raise SystemExit('no')\n", "print('x' * 10**6)\nimport os\nos.abort()\n"):
        with pytest.raises(ExportError, match=r"model\.py fails in a clean interpreter"):
            _ask(clean, tmp_path, text)
    assert _ask(clean, tmp_path, MODEL)


def test_a_file_that_never_answers_is_given_up(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(clean_process, "TIMEOUT", 1)
    with pytest.raises(ExportError, match="did not answer within 1 s"):
        _ask(clean, tmp_path, "while True:\n    pass\n")
    monkeypatch.undo()
    assert _ask(clean, tmp_path, MODEL)

"""``chattn-nas export`` as a user calls it: terminals, folders, what the run keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from optuna.artifacts import get_all_artifact_meta

from chattn_nas.api import Run, export
from chattn_nas.errors import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With an old run, and no home."""
    place = tmp_path_factory.mktemp("export")
    shutil.copytree(FIXTURES / "run_v1", place / "run_v1")
    return place


def _export(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chattn_nas", "export", "run_v1", *options]
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS") if key in os.environ}
    return subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True)


def _packs(folder: Path) -> list[zipfile.ZipFile]:
    run = Run(folder / "run_v1")
    held = [one for one in get_all_artifact_meta(run.study) if one.mimetype == "application/zip"]
    return [zipfile.ZipFile(folder / "run_v1" / "artifacts" / one.artifact_id) for one in held]


def test_an_ascii_terminal_without_home_gets_the_export(folder):
    done = _export(
        folder, "--out", "out", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Reading run_v1\n"), "something is said before torch is loaded"
    assert "seed" in done.stdout
    assert done.stdout.isascii()
    assert (folder / "out" / "model.py").is_file()


def test_only_written_files_are_packed_and_a_later_pack_replaces_the_earlier(folder, monkeypatch):
    monkeypatch.chdir(folder)
    network = Run(folder / "run_v1").best()
    (folder / "mine").mkdir()
    (folder / "mine" / "secret").write_text("a key")
    with pytest.raises(InputError, match="no export wrote it"):
        export(network, "mine", ["safetensors"])
    assert [path.name for path in (folder / "mine").iterdir()] == ["secret"]
    for _ in range(2):
        export(network, "mine", ["safetensors"], force=True)
    packs = _packs(folder)
    assert len(packs) == 1
    held = {"README.md", "architecture.yaml", "export.json", "weights.safetensors"}
    assert {Path(name).name for name in packs[0].namelist()} == held


def test_a_run_that_cannot_note_the_export_does_not_lose_it(folder, caplog):
    shutil.rmtree(folder / "run_v1" / "artifacts", ignore_errors=True)
    (folder / "run_v1" / "artifacts").write_text("in the way")
    written = export(Run(folder / "run_v1").best(), folder / "noted", ["safetensors"])
    assert "could not record it" in caplog.text
    assert (written.folder / "weights.safetensors").is_file()

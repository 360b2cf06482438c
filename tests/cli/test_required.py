"""A package that is missing is told by its name, before anything is spent."""

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from chattn_nas.cli import _app
from chattn_nas.errors import MissingExtraError
from chattn_nas.required import PACKAGES, check_required
from chattn_nas.study.storage import storage_errors

SENTENCE = "the package optuna-dashboard, which chattn-nas needs, is not installed: 'pip install chattn-nas'"


def test_every_declared_package_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert sorted(PACKAGES) == sorted(Requirement(one).name for one in project["dependencies"])
    check_required()


def test_a_missing_package_is_told_before_the_data_are_read(monkeypatch, tmp_path, invoke) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    out, error = invoke("search", "quickstart", code=2)
    assert SENTENCE in error
    assert "Data:" not in out
    assert not list(tmp_path.iterdir())


def test_a_storage_is_not_blamed_for_it() -> None:
    """It was "the storage sqlite:///... needs a driver: No module named 'optuna_dashboard'"."""
    with pytest.raises(ModuleNotFoundError, match="'optuna_dashboard'"), storage_errors("sqlite:///study.db"):
        raise ModuleNotFoundError("No module named 'optuna_dashboard'", name="optuna_dashboard")


def test_a_late_import_is_one_sentence(monkeypatch, capsys) -> None:
    def fails(**_: object) -> None:
        raise ModuleNotFoundError("No module named 'optuna_dashboard._note'", name="optuna_dashboard._note")

    monkeypatch.setattr(_app, "app", fails)
    with pytest.raises(SystemExit) as ended:
        _app.main()
    assert ended.value.code == 2
    assert SENTENCE in capsys.readouterr().err


def test_what_is_there_is_found_by_its_module(monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with pytest.raises(MissingExtraError, match="the package scikit-learn"):
        check_required()

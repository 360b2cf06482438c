"""A run has a folder of its own: nothing is written among a user's files."""

from pathlib import Path

import pytest

from chattn_nas import search
from chattn_nas.errors import RunError
from chattn_nas.spec import load_spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.run import LOCK

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # a search asks for none


def test_a_folder_of_other_things_becomes_no_run(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for start in (RunDirectory.create, lambda spec, folder: search(spec, run=folder)):
        with pytest.raises(RunError, match=r"photos holds other files, such as cat: a run needs a folder of its own"):
            start(load_spec("quickstart"), tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match=r"run is a file: a run needs a folder of its own \(run=DIR\)"):
        search(load_spec("quickstart"), run=tmp_path / "run")


@pytest.mark.parametrize("held", [(), (LOCK,), (LOCK, "logs")])
def test_an_empty_folder_and_a_first_start_that_failed_are_taken(tmp_path: Path, held: tuple[str, ...]) -> None:
    (tmp_path / "run").mkdir()
    for name in held:
        (tmp_path / "run" / name).touch()
    assert RunDirectory.create(load_spec("quickstart"), tmp_path / "run").spec.name == "quickstart"

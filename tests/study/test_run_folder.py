"""A run has a folder of its own: nothing is written among a user's files."""

from pathlib import Path

import optuna
import pytest

from chattn_nas import search
from chattn_nas.errors import RunError
from chattn_nas.spec import Spec, load_spec
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


def test_a_run_begun_with_a_setting_without_effect_goes_on_without_it(tmp_path: Path) -> None:
    """Earlier versions took such a setting; it is refused now, with the words that it be left out."""

    def spec(entry: object) -> Spec:
        return Spec.from_dict({
            "name": "old", "backbone": {"model": "cifar_resnet8"}, "data": {"dataset": "digits", "image_size": 8},
            "space": {"all": ["none", entry]}, "proxy": {"rungs": [1]},
        })  # fmt: skip

    begun = RunDirectory.create(spec({"eca": {"kernel_size": 3, "gamma": [1, 2]}}), tmp_path / "old")
    begun.study.add_trial(optuna.create_trial(value=0.5))
    with RunDirectory.held(spec({"eca": {"kernel_size": 3}}), tmp_path / "old") as on:
        assert on.spec.space == begun.spec.space, "what samplers propose stays what it was"
        assert len(on.study.trials) == 1
    with pytest.raises(RunError, match=r"other settings: space\.all"):
        RunDirectory.create(spec({"eca": {"kernel_size": 5}}), tmp_path / "old")

"""``init``, ``doctor`` and shipped specs, as a user types them."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image

from chattn_nas import judging
from chattn_nas.cli import doctor
from chattn_nas.cli.init import default_name
from chattn_nas.data import load_data, load_test
from chattn_nas.errors import InputError
from chattn_nas.proxy.optimizer import optimizer_of
from chattn_nas.spec import draft_backbone, load_spec
from chattn_nas.spec.recipes import RECIPES
from chattn_nas.spec.shipped import shipped

SOURCE = Path(__file__).parents[2] / "search_spaces"


@pytest.fixture
def said(monkeypatch, invoke, tmp_path):
    """What a command prints in an empty folder; on stderr where it is to fail."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object, code: int = 0, stderr: bool = False) -> str:
        out, error = invoke(*arguments, code=code)
        return error if stderr or code == 2 else out

    return run_command


def photos(folder: Path, side: int, classes: dict[str, int], parts: tuple[str, ...] = ("",)) -> Path:
    random = np.random.default_rng(0)
    for part in parts:
        for name, count in classes.items():
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{index}.png")
    return folder


def test_every_shipped_spec_is_found_by_its_name_anywhere(said):
    assert set(shipped()) == {path.stem for path in SOURCE.glob("*.yaml")}
    listed = said("init", "--list")
    for name in shipped():
        assert load_spec(name).name == name
        assert name in listed
    assert json.loads(said("space", "quickstart", "--json"))["size"] > 1


def test_a_file_of_ones_own_comes_before_a_shipped_spec_of_its_name(said, tmp_path):
    mine = yaml.safe_load((SOURCE / "quickstart.yaml").read_text()) | {"name": "mine"}
    (tmp_path / "quickstart").write_text(yaml.safe_dump(mine))
    assert load_spec("quickstart").name == "mine"


def test_relative_paths_of_a_shipped_spec_start_in_the_working_directory(said, tmp_path):
    assert load_spec("resnet50_finetune").data.path == str(tmp_path / "images")


@pytest.mark.parametrize("command", ["search", "space", "data", "calibrate", "worker"])
def test_a_mistyped_name_is_told_with_the_nearest_one(said, command):
    message = said(command, "quikstart", code=2)
    if command == "worker":  # takes a run as well, and says so
        assert "quikstart is no run" in message
    else:
        assert "did you mean 'quickstart'" in message


def test_data_or_a_run_where_a_spec_is_asked_for_are_told_with_the_way_on(said, tmp_path):
    photos(tmp_path / "photos", 24, {"cat": 2, "dog": 2})
    (tmp_path / "table.csv").write_text("path,label\n")
    for given in ("photos", "table.csv"):
        assert f"'chattn-nas init --data {given}' writes a spec for them" in said("search", given, code=2)
    (tmp_path / "photos.yaml").write_text("name: photos")
    assert "it is a folder; did you mean photos.yaml?" in said("plan", "photos", code=2)
    assert "'chattn-nas search SPEC' starts one" in said("trials", "phots", code=2)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "spec.yaml").write_text("name: mine")
    assert "did you mean 'mine'?" in said("trials", "mine.yaml", code=2)
    assert "the run that lies there is runs/mine/spec.yaml" in said("data", "runs/mine", code=2)


def test_a_spec_for_digits_loads_and_can_be_trained(said, tmp_path):
    text = said("init", "--data", "digits", "--params", "1.02x", "--name", "first", "--yes")
    assert "Wrote first.yaml" in text
    spec = load_spec("first.yaml")
    assert spec.name == "first"
    assert spec.search.constraints == {"parameters": "<= 1.02x"}
    lines = (tmp_path / "first.yaml").read_text().splitlines()
    assert lines[0].startswith("# yaml-language-server: $schema=")
    assert Path(lines[0].partition("=")[2]).is_file()
    assert len(load_data(spec.data).validation) == 300
    assert len(load_test(spec.data)) == 299


@pytest.mark.parametrize("gpu", [False, True])
def test_small_images_are_offered_what_came_nearest_to_a_gain_and_triplet_only_on_a_gpu(said, monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    said("init", "--data", "digits", "--yes")
    types = {candidate.type for stage in load_spec("digits.yaml").search_space().candidates for candidate in stage}
    assert types >= {"none", "se", "eca", "gct", "srm"}
    assert ("triplet" in types) == gpu


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_written_with_its_reasons_and_the_others_stand_beside_it(said, tmp_path, recipe):
    if recipe == "finetune":
        assert "timm has no pretrained weights" in said("init", "--recipe", recipe, "--yes", code=2)
        return
    said("init", "--recipe", recipe, "--yes")
    spec, text = load_spec("digits.yaml"), (tmp_path / "digits.yaml").read_text()
    for section, values in RECIPES[recipe].sections().items():
        for key, value in values.items():
            assert getattr(getattr(spec, section), key) == value
    for other in RECIPES:
        assert (f"  #   {other}: {RECIPES[other].what}" in text) == (other != recipe)
    optimizer_of([{"params": [torch.nn.Parameter(torch.zeros(2, 2))]}], spec.proxy, 0.1)


def test_networks_with_layer_norm_are_not_trained_with_plain_sgd(said):
    said("init", "--backbone", "convnext_atto", "--yes")
    assert load_spec("digits.yaml").proxy.optimizer == "adamw"
    assert load_spec("digits.yaml").data.image_size == 32, "the digits are 8 px: it would take none of 16"
    kinds = {one.type for stage in load_spec("digits.yaml").search_space().candidates for one in stage}
    assert kinds == {"none", "se", "eca", "gct"}, "srm needs more than the one pixel of the last stage"
    assert load_spec("convnext_atto").proxy.optimizer == "adamw"
    assert "did you mean 'adamw'" in said("init", "--recipe", "adamv", "--name", "other", code=2)


def test_on_a_terminal_an_answer_that_cannot_be_is_asked_for_again(said, monkeypatch, capsys):
    answers = iter(["digit", "digits", "resnet81", "cifar_resnet8", "much", "1.02x", "rbs", "rsb", "soon", "24 trials"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda question, default: next(answers))
    assert "Wrote digits.yaml" in said("init")
    spec = load_spec("digits.yaml")
    assert (spec.backbone.model, spec.proxy.optimizer) == ("cifar_resnet8", "lamb")
    assert spec.search.constraints == {"parameters": "<= 1.02x"}
    assert next(answers, None) is None


def test_photos_start_from_pretrained_weights_unless_they_shall_not(said, tmp_path):
    photos(tmp_path / "photos", 80, {"cat": 16, "dog": 16})
    said("init", "--data", "photos", "--yes")
    said("init", "--data", "photos", "--yes", "--no-pretrained", "--name", "scratch")
    tuned, scratch = load_spec("photos.yaml"), load_spec("scratch.yaml")
    assert (tuned.backbone.pretrained, tuned.proxy.start) == (True, "identity")
    assert (scratch.backbone.pretrained, scratch.proxy.start) == (False, "unit")
    for spec in (tuned, scratch):
        steps = len(load_data(spec.data).train) // spec.proxy.batch_size
        assert steps * spec.proxy.rungs[-1] >= 250, "fewer updates show how networks start, not what they learn"
    clash = said("init", "--data", "photos", "--yes", "--no-pretrained", "--recipe", "finetune", "--name", "x", code=2)
    assert "the weights that --no-pretrained forbids" in clash


def test_weights_of_a_model_from_elsewhere_are_not_denied():
    """``timm.models.is_model_pretrained`` knows no ``hf-hub:``."""
    draft_backbone.refuse_without_weights("hf-hub:timm/resnet18.a1_in1k", "--pretrained")
    draft_backbone.refuse_without_weights("resnet18.a1_in1k", "--pretrained")
    with pytest.raises(InputError, match="--pretrained: timm has no pretrained weights for cifar_resnet8"):
        draft_backbone.refuse_without_weights("cifar_resnet8", "--pretrained")


def test_a_bad_file_is_left_out_and_said(said, tmp_path):
    photos(tmp_path / "photos", 24, {"cat": 20, "dog": 20})
    (tmp_path / "photos" / "cat" / "broken.png").write_bytes(b"no picture")
    assert "1 image cannot be read and is left out" in said("init", "--data", "photos", "--yes")
    spec = load_spec("photos.yaml")
    assert spec.data.bad_files == "skip"
    assert len(load_data(spec.data).train) + len(load_data(spec.data).validation) + len(load_test(spec.data)) == 40


def test_the_labels_of_a_table_are_the_column_that_is_left_or_the_one_that_is_named(said, tmp_path):
    photos(tmp_path / "photos", 24, {"a": 30})
    for name, head in (("one", "id,filename,digit"), ("two", "filename,digit,weather")):
        rows = [
            f"{i},photos/a/{i}.png,{i % 2}" if name == "one" else f"photos/a/{i}.png,{i % 2},{i % 3}" for i in range(30)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *rows]))
    assert "column 'digit', the only one that is left" in said("init", "--data", "one.csv", "--yes")
    missing = said("init", "--data", "two.csv", "--yes", code=2)
    assert "--labels names it (its first line is the header); possible: filename, digit, weather" in missing
    assert "data.label_column" not in missing, "there is no spec yet"
    said("init", "--data", "two.csv", "--labels", "weather", "--yes")
    assert len(load_data(load_spec("two.yaml").data).class_names) == 3


def test_nothing_is_overwritten(said, tmp_path):
    (tmp_path / "digits.yaml").write_text("mine")
    assert "is left as it is" in said("init", "--data", "digits", "--yes", code=2)
    assert (tmp_path / "digits.yaml").read_text() == "mine"


def test_small_uneven_photos_without_parts(said, tmp_path):
    photos(tmp_path / "my photos", 24, {"cat": 40, "dog": 8})
    said("init", "--data", "my photos", "--yes")
    spec = load_spec("my-photos.yaml")
    assert spec.data.path == str(tmp_path / "my photos")
    assert spec.data.image_size == 24
    assert spec.data.test == spec.data.validation == 0.2
    assert spec.data.metric == "balanced_accuracy"
    assert not spec.backbone.pretrained
    assert len(load_test(spec.data)) == 10


def test_larger_photos_take_pretrained_weights_and_keep_their_parts(said, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    photos(tmp_path / "photos", 140, {"cat": 6, "dog": 6}, ("train", "val", "test"))
    (tmp_path / "specs").mkdir()
    said("init", "--data", "photos", "--out", "specs/big.yaml", "--yes")
    spec = load_spec("specs/big.yaml")
    assert Path(spec.data.path).resolve() == tmp_path / "photos"
    assert (spec.backbone.model, spec.backbone.pretrained, spec.proxy.start) == ("resnet18", True, "identity")
    assert spec.data.image_size == 128
    assert spec.data.test is None
    assert spec.data.metric is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--data", "digit"), "did you mean 'digits'"),
        (("--data", "."), "no images"),
        (("--data", "notes.txt"), "not a kind that init knows"),
        (("--data", "digits", "--backbone", "resnet81"), "did you mean"),
        (("--data", "digits", "--params", "much"), "--params"),
        (("--data", "digits", "--params", "1.02"), "'<= 1.02x'"),
        (("--data", "digits", "--labels", "kind"), "only a table"),
        (("--data", "digits", "--name", "a/b"), "--name"),
        (("--data", "digits", "--out", "nowhere/a.yaml"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(said, tmp_path, arguments, expected):
    (tmp_path / "notes.txt").write_text("hello")
    assert expected in said("init", *arguments, "--yes", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_name_is_made_of_any_path():
    assert default_name("/data/Meine Bilder (2).zip") == "Meine-Bilder-2"
    assert default_name("/data/Süße Köter") == "Su-e-Koter"
    assert default_name("/") == "search"


def test_a_healthy_machine(said):
    found = json.loads(said("doctor", "--json"))
    assert found["ok"]
    checked = {one["what"] for one in found["checks"]}
    assert checked == {"Python", "packages", "extras", "torch", "CUDA", "device", "memory", "runs", "cache"}
    assert len(said("doctor").splitlines()) <= 10


def test_a_package_outside_its_bounds_ends_with_one(said, monkeypatch):
    monkeypatch.setattr(
        doctor, "installed", lambda name: "0.1" if name == "optuna" else "99" if name != "timm" else None
    )
    report = json.loads(said("doctor", "--json", code=1))
    packages = next(one for one in report["checks"] if one["what"] == "packages")
    assert packages["verdict"] == "wrong"
    assert "optuna 0.1 is not" in packages["found"]
    assert "timm is missing" in packages["found"]


def test_little_memory_is_a_warning_and_a_folder_that_cannot_be_written_is_wrong(said, monkeypatch):
    low = psutil.virtual_memory()._replace(available=2**28)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: low)
    assert "beware  memory    0.2 GiB" in said("doctor")
    monkeypatch.setattr(doctor.os, "access", lambda *asked: False)
    assert "cannot be written" in said("doctor", code=1)


def test_help_has_a_short_name_and_the_version_is_told(said):
    assert "doctor" in said("-h")
    assert "--backbone" in said("init", "-h")
    assert said("--version").strip()


@pytest.mark.parametrize(
    ("fitting", "line"),
    [(2, "trials: 7 .* # the fewest beside 6 baselines; longer than 8.0 min"), (30, "trials: 30 .* # about 8.0 min")],
)
def test_a_budget_that_baselines_exceed_is_not_said_to_suffice(said, monkeypatch, fitting, line):
    plan = SimpleNamespace(trials_within=lambda _: fitting, baselines=6, words_within=lambda _: [])
    monkeypatch.setattr(judging, "plan_search", lambda spec: plan)
    said("init", "--yes", "--budget", "8m")
    assert re.search(f"(?m)^  {line}", Path("digits.yaml").read_text())

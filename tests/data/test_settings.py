"""Keys that do not belong together are refused with their line, and paths are found from the spec's folder."""

import json
from pathlib import Path

import pytest
from pictures import arrays, folder

from chattn_nas.data import DataSettings, load_data
from chattn_nas.errors import DataError, SpecError
from chattn_nas.spec import Spec, load_spec
from chattn_nas.spec.load import lines_of
from chattn_nas.spec.spec import PLACES

SPEC = """name: one
backbone: {model: cifar_resnet8, options: {width: 8}}
space: {all: [none, se]}
data:
"""


def spec(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC + "".join(f"  {line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (["image_size: 8", "path: images"], 6, "data.dataset is missing.*images looks like dataset: image_folder"),
        (["path: set.csv"], 5, "looks like dataset: csv"),
        (["path: some/where.npz"], 5, "looks like dataset: npz"),
        (["path: set.tar"], 5, "looks like dataset: image_folder"),
        (["name: CIFAR10"], 5, r"which kind of set is it.*torchvision"),
        (["dataset: digits", "path: images"], 6, "data.path does not belong to the data set 'digits'"),
        (["dataset: image_folder", "path: a", "name: CIFAR10"], 7, "data.name does not belong.*torchvision or hf"),
        (["dataset: npz", "path: a", "label_column: y"], 7, "label_column does not belong"),
        (["dataset: torchvision", "name: CIFAR10", "path: a"], 7, "data.path does not belong"),
        (["dataset: torchvison", "name: CIFAR10"], 5, "did you mean 'torchvision'"),
        (["image_size: 1"], 5, "image_size: should be a number of pixels, 4 to 1024, or two of them, .height, width."),
        (["image_size: [24]"], 5, r"two of them, \[height, width\], not \[24\]"),
        (["image_size: [24, 32, 3]"], 5, r"two of them, \[height, width\], not \[24, 32, 3\]"),
        (["image_size: [24, 2000]"], 5, r"4 to 1024, .*not \[24, 2000\]"),
        (["image_size: [24, true]"], 5, r"not \[24, True\]"),
        (["image_size: 24x32"], 5, "not '24x32'"),
        (["image_size: [8, 16]", "crop_padding: 8"], 6, "crop beyond images of 16x8 px"),
        (["image_size: 8", "crop_padding: 8"], 6, "crop beyond images of 8 px"),
        (["crop_padding: -1"], 5, "crop_padding"),
        (["seed: -1"], 5, "seed"),
        (["validation: 0.5", "test: 0.5"], 6, "leave nothing to train on"),
        (["validation: 1.5"], 5, "validation"),
        (["background: snow white"], 5, "background"),
        (["range: [5, 1]"], 5, "must rise"),
        (["resize: stretch"], 5, "resize cannot be 'stretch'"),
        (["dataset: image_folder", "path: $NOWHERE_AT_ALL/images"], 6, "variable .NOWHERE_AT_ALL is not set"),
    ],
)
def test_refused_with_file_and_line(tmp_path, lines, line, words) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(spec(tmp_path, *lines))
    assert caught.value.line == line
    assert "\n" not in str(caught.value)


def test_what_is_found_out_while_reading_has_a_line_too(tmp_path) -> None:
    folder(tmp_path / "images", (), ("ant",))
    path = spec(tmp_path, "dataset: image_folder", "image_size: 8", "path: images")
    with pytest.raises(SpecError, match=r"spec\.yaml:7: all 10 images are of one class"), lines_of(path):
        load_data(load_spec(path).data)


@pytest.mark.parametrize("written", ["images", "./images", "$HERE/images", "${HERE}/images", "~/images"])
def test_places(tmp_path, monkeypatch, written) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "images", ())
    monkeypatch.chdir("/")
    found = load_spec(spec(tmp_path, "dataset: image_folder", "image_size: 8", f"path: {written}")).data
    assert Path(found.path) == tmp_path / "images"
    assert len(load_data(found).train) == 16


def test_a_folder_of_the_current_directory_is_found_as_before(tmp_path, monkeypatch) -> None:
    (tmp_path / "specs").mkdir()
    folder(tmp_path / "images", ())
    monkeypatch.chdir(tmp_path)
    found = load_spec(spec(tmp_path / "specs", "dataset: image_folder", "path: images")).data
    assert Path(found.path) == tmp_path / "images"


def test_names_of_classes_may_look_like_numbers() -> None:
    assert DataSettings(classes=[1, "b", True]).classes == ["1", "b", "true"]
    assert DataSettings(classes={1: "one", 2: None}).classes == {"1": "one", "2": None}


def test_new_keys_leave_the_hash_of_old_specs(tmp_path) -> None:
    arrays(tmp_path / "set.npz")
    plain = load_spec(spec(tmp_path, "dataset: npz", "path: set.npz", "image_size: 8"))
    first = {"dataset", "image_size", "path", "name", "root", "download", "validation", "train_limit", "flip",
             "crop_padding", "seed"}  # fmt: skip
    counted = {key.partition(".")[2] for key in plain._flat(leave_out=PLACES) if key.startswith("data.")}
    assert counted == first - {"path", "root", "download"}, "as it was before there were more keys"
    same = load_spec(spec(tmp_path, "dataset: npz", "path: set.npz", "image_size: 8", "resize: squash", "cache: here"))
    assert same.hash == plain.hash
    assert not same.differences(plain)
    other = load_spec(spec(tmp_path, "dataset: npz", "path: set.npz", "image_size: 8", "resize: crop"))
    assert other.differences(plain) == ["data.resize"]


def test_an_unknown_source_by_the_api() -> None:
    with pytest.raises(DataError, match="cannot be 'folder'"):
        DataSettings(dataset="folder")


def test_a_size_of_two_numbers_is_height_and_width(tmp_path) -> None:
    """Squares are one number however they are written: hashes and keys of the cache stay as they are."""
    plain = load_spec(spec(tmp_path, "image_size: 8"))
    square = load_spec(spec(tmp_path, "image_size: [8, 8]"))
    wide = load_spec(spec(tmp_path, "image_size: [8, 12]"))
    assert square.data == plain.data
    assert (square.hash, square.data.read_by) == (plain.hash, plain.data.read_by)
    assert wide.data.image_size == (8, 12)
    assert len({plain.hash, wide.hash, load_spec(spec(tmp_path, "image_size: [12, 8]")).hash}) == 3
    assert Spec.from_dict(json.loads(json.dumps(wide.to_dict()))) == wide
    assert wide.differences(plain) == ["data.image_size"]
